"""What a judge that asks a model is asked about: prompts, the units that make one verdict each, and their calls."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pairwright.judges.base import Batch


class Prompt(NamedTuple):
    """What a judge knows of a prompt."""

    prompt_id: str
    messages: list[dict[str, str]]
    references: list[str]
    domain: str | None
    responses: dict[str, str]
    """Id → text, in id order."""


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


def units_of(work: Batch, keys: list[str], units: UnitsOf) -> Iterator[Unit]:
    """All units that a batch takes, numbered, prompt by prompt and round by round."""
    wanted = by_round(work, keys)
    texts: dict[str, dict[str, str]] = {}
    for prompt_id, response_id, text in work.responses.select("prompt_id", "response_id", "text").iter_rows():
        texts.setdefault(prompt_id, {})[response_id] = text
    number = 0
    for row in work.prompts.select("prompt_id", "messages", "references", "domain").iter_rows(named=True):
        if row["prompt_id"] not in wanted:
            continue
        prompt = Prompt(**row, responses=texts.get(row["prompt_id"], {}))
        for round_number, ids in wanted[prompt.prompt_id].items():
            for subject, asks in units(prompt, ids):
                yield Unit(number, prompt, subject, asks, round_number)
                number += 1
