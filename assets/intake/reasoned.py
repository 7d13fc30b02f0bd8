"""Reasoning that stands in texts: what sources bring is left as it is, so it is counted and told."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pairwright.assets.stages.view import Check, Finding
from pairwright.assets.storage.store import scan

REASONING = Check(
    "watch_reasoning", "No response opens with reasoning (<think>…</think>), which judges would take for its answer."
)
TEXT = pl.col("text").fill_null("")
TAGGED = TEXT.str.contains("think>", literal=True)
"""What hardly any text has and all that follows asks for: the regular expressions then see few texts."""
OPENED = TEXT.str.contains(r"^\s*<think>")
CLOSED = TEXT.str.contains("</think>", literal=True)
BEGUN_BEFORE = TEXT.str.contains(r"(?m)^[ \t]*</think>") & ~TEXT.str.contains("<think>", literal=True)
"""The opening tag stood in the chat template."""


def reasoning_found(responses: Sequence[Path], samples: Sequence[Path] = ()) -> Finding:
    """What REASONING found in files of responses. `samples` are files with what policies wrote: of these, what never
    came to an answer is counted, too; it makes no response."""
    n = scan(responses).select(pl.len()).collect().item()
    given = scan(responses).filter(TAGGED).select((OPENED | BEGUN_BEFORE).sum()).collect().item()
    lost = scan(samples).select((OPENED & ~CLOSED).sum()).collect().item() if samples else 0
    found = [f"{given} of {n} open with it: they come from a source, and are judged as they stand"] if given else []
    found += [f"{lost} samples are reasoning without an end, and make no response"] if lost else []
    return Finding(not found, "; ".join(found) or f"none of {n}")
