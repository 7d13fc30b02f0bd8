"""Reasoning that stands in texts: what sources bring is left as it is, so it is counted and told."""

from pathlib import Path

import polars as pl

from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.store import Workspace, scan, version_of

CHECKS = {
    "watch_reasoning": "No response opens with reasoning (<think>…</think>), which judges would take for its answer."
}
TEXT = pl.col("text").fill_null("")
TAGGED = TEXT.str.contains("think>", literal=True)
"""What hardly any text has and all that follows asks for: the regular expressions then see few texts."""
OPENED = TEXT.str.contains(r"^\s*<think>")
CLOSED = TEXT.str.contains("</think>", literal=True)
BEGUN_BEFORE = TEXT.str.contains(r"(?m)^[ \t]*</think>") & ~TEXT.str.contains("<think>", literal=True)
"""The opening tag stood in the chat template."""


def reasoning_check(workspace: Workspace, samples: list[Path] | None = None) -> dict[str, tuple[bool, str]]:
    """The check of the responses table. `samples` are files with what policies wrote: of these, what never came to an
    answer is counted, too; it makes no response."""
    files = [path for one in workspace.each_shard() if (path := workspace.file("responses", one)).exists()]
    samples = [path for path in samples or [] if path.exists()]

    def count() -> dict[str, str]:
        n = scan(files).select(pl.len()).collect().item()
        given = scan(files).filter(TAGGED).select((OPENED | BEGUN_BEFORE).sum()).collect().item()
        lost = scan(samples).select((OPENED & ~CLOSED).sum()).collect().item() if samples else 0
        found = [f"{given} of {n} open with it: they come from a source, and are judged as they stand"] if given else []
        found += [f"{lost} samples are reasoning without an end, and make no response"] if lost else []
        return {"passed": "" if found else "yes", "found": "; ".join(found) or f"none of {n}"}

    view = kept_view(workspace, "reasoning", [version_of(path) for path in [*files, *samples]], count)
    return {"watch_reasoning": (bool(view["passed"]), view["found"])}
