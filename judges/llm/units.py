"""What is asked in one call, and which calls make a verdict together."""

from typing import Any, NamedTuple


class Prompt(NamedTuple):
    """What a judge knows of a prompt."""

    prompt_id: str
    messages: list[dict[str, str]]
    references: list[str]
    domain: str | None
    responses: dict[str, str]
    """Id → text, in id order."""


class Unit(NamedTuple):
    """Calls whose answers make one verdict together."""

    number: int
    prompt: Prompt
    subject: Any
    """What is judged; the judge's own."""
    asks: list["Ask"]


class Ask(NamedTuple):
    """One call: which responses it shows, in which order, for what."""

    shown: list[str]
    """Response ids, in the order shown."""
    purpose: str
    """Tells calls that show the same apart: the criterion, say."""
    vote: int
