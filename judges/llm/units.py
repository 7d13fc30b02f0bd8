"""What a judge that asks a model is asked about: prompts, the units that make one verdict each, and their calls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.judges.base import Batch
from pairwright.judges.llm.typed import Sees, shown_conversation, shown_response
from pairwright.schemas.media import data_uri


class Prompt(NamedTuple):
    """What a judge knows of a prompt."""

    prompt_id: str
    messages: list[dict[str, str]]
    references: list[str]
    domain: str | None
    responses: dict[str, str]
    """Id → text, in id order."""
    media: Sequence[Mapping[str, str]] = ()
    """What the conversation shows, as canonical parts, in the order of the numbers that stand for them in its text."""
    folder: Path | None = None
    """Where the files of that lie."""

    def address(self, part: Mapping[str, str]) -> str:
        """A part as a server is sent it: its URL, or its file as a data URI. Raises StoreError where that is gone."""
        if "url" in part or self.folder is None:
            return part.get("url", "")
        return data_uri(self.folder, part["media"])


class Ask(NamedTuple):
    """One call: which responses it shows, in which order, for what."""

    shown: list[str]
    """Response ids, in the order shown."""
    purpose: str
    """Tells calls that show the same apart: the criterion, say."""
    vote: int


class Unit(NamedTuple):
    """Calls whose answers make one verdict together."""

    number: int
    prompt: Prompt
    subject: Any
    """What is judged; the judge's own."""
    asks: list[Ask]
    round: int = 0
    """0 for a first opinion; each later one asks with draws of its own."""


UnitsOf = Callable[[Prompt, list[tuple[str, ...]]], Iterator[tuple[Any, list[Ask]]]]
"""What a prompt's wanted verdicts take: each subject with its calls."""
Wanted = dict[str, dict[int, list[tuple[str, ...]]]]
"""Prompt id → round → the other ids of each verdict that is wanted."""


def by_round(work: Batch, keys: list[str]) -> Wanted:
    """What is wanted of each prompt; the first round where `work` names none."""
    rows = work.wanted if work.wanted.width else work.responses
    found: Wanted = {}
    rounds = rows.get_column("round").to_list() if "round" in rows.columns else [0] * rows.height
    for (prompt_id, *ids), number in zip(rows.select(keys).iter_rows(), rounds, strict=True):
        found.setdefault(prompt_id, {}).setdefault(number, []).append(tuple(ids))
    return found


def units_of(work: Batch, keys: list[str], units: UnitsOf, sees: Sees = "answer") -> Iterator[Unit]:
    """All units that a batch takes, numbered, prompt by prompt and round by round. `sees`: what of each response."""
    wanted = by_round(work, keys)
    texts = _texts(work.responses, sees)
    more = [name for name in ("typed", "tools") if name in work.prompts.columns]
    number = 0
    for row in work.prompts.select("prompt_id", "messages", "references", "domain", *more).iter_rows(named=True):
        if row["prompt_id"] not in wanted:
            continue
        shown = shown_conversation(row["messages"], row.pop("typed", None), row.pop("tools", None))
        row |= {"messages": shown.messages, "media": shown.media, "folder": work.media}
        prompt = Prompt(**row, responses=texts.get(row["prompt_id"], {}))
        for round_number, ids in wanted[prompt.prompt_id].items():
            for subject, asks in units(prompt, ids):
                yield Unit(number, prompt, subject, asks, round_number)
                number += 1


def _texts(responses: pl.DataFrame, sees: Sees) -> dict[str, dict[str, str]]:
    """Prompt id → response id → what is shown of the response."""
    beside = [
        pl.col(name) if name in responses.columns else pl.lit(None, pl.String).alias(name)
        for name in ("reasoning", "tool_calls")
    ]
    texts: dict[str, dict[str, str]] = {}
    rows = responses.select("prompt_id", "response_id", "text", *beside).iter_rows()
    for prompt_id, response_id, text, reasoning, tool_calls in rows:
        texts.setdefault(prompt_id, {})[response_id] = shown_response(text, reasoning, tool_calls, sees)
    return texts
