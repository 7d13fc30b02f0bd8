"""What a label says: which of two responses won, in the words that data sets have for it."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pairwright.schemas.errors import SourceError, short

WINS = {"a": 1.0, "b": 0.0, "tie": 0.5}
"""What a label comes to → the share that the first response gets of it."""
WORDS = {
    **dict.fromkeys(("a", "1", "model_a", "response_a", "conversation_a", "answer_a", "model_1", "response_1"), "a"),
    **dict.fromkeys(("b", "2", "model_b", "response_b", "conversation_b", "answer_b", "model_2", "response_2"), "b"),
    **dict.fromkeys(("tie", "tied", "equal", "draw", "both", "neither", "tie (bothbad)", "bothbad"), "tie"),
}
"""Read so without a mapping, in any case."""
YES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


class Verdict(NamedTuple):
    """What somebody says of two responses."""

    won: float | None
    """1 where the first is better, 0 where the second is, one half for a tie."""
    failure: str | None = None
    """Why there is nothing."""


def verdict_of(value: Any, name: str, mapping: Mapping[str, str], where: str = "") -> Verdict:
    """What a label says; `mapping` goes before the words that are known, and stands alone where there is one.

    Raises SourceError for a 0 that no mapping explains: sets with the labels 0 and 1 number either the responses or
    whether the first one won, so that to guess could turn a whole set round.
    """
    word = _word(value)
    known = {_word(key): wins for key, wins in mapping.items()} if mapping else WORDS
    if word in known:
        return Verdict(WINS[known[word]])
    if word == "0" and not mapping:
        raise SourceError(
            f"{where}{name} is 0; say what 0 and 1 mean, by `labels: {{0: a, 1: b}}` where they number the responses, "
            "or `labels: {1: a, 0: b}` where 1 is a win of the first"
        )
    allowed = ", ".join(mapping) if mapping else "a, b, tie"
    return Verdict(None, f"{name} {short(value)} is unknown; allowed: {allowed}")


def is_tie(value: Any, name: str) -> bool:
    """Whether a column that marks ties says so. Raises ValueError for what is neither yes nor no."""
    word = _word(value) if value is not None else ""
    if word not in YES:
        raise ValueError(f"{name} is {short(value)}, expected true or false")
    return YES[word]


class Number(NamedTuple):
    """A score that a source has, or why it is none."""

    value: float | None
    failure: str | None = None


def number_of(value: Any, name: str) -> Number:
    """A finite number; None where there is no value."""
    if value is None or value == "":
        return Number(None)
    if isinstance(value, bool):
        return Number(float(value))
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return Number(None, f"{name} is {short(value)}, expected a number")
    if not math.isfinite(number):
        said = "NaN" if math.isnan(number) else str(number)
        return Number(None, f"{name} is {said}, expected a finite number")
    return Number(number)


def _word(value: Any) -> str:
    """A label as it is looked up: 1, 1.0, "1" and True are one word each with their like."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip().lower()
