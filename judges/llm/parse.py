"""From a judge's text to its verdict: tolerant of dressing, strict about values. What is not said is never guessed."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pairwright.models.serving.reasoning import answer_start
from pairwright.models.serving.reply import UnusableError, storable
from pairwright.models.serving.structured import objects_in


def verdict_object(text: str, key: str) -> dict[str, Any]:
    """The one JSON object with that key. Raises UnusableError where there is none, or several that differ in it.

    A text that follows the answer's form twice with different verdicts has no verdict: which one was meant, the
    quoted or the own one, would be a guess. Drafts in the reasoning that a text opens with do not count; reasoning
    without an end has no verdict.
    """
    whole = [one for one in objects_in(text[answer_start(text) :]) if key in one]
    if not whole:
        raise UnusableError(f"no JSON object with {key!r}")
    if any(one[key] != whole[0][key] for one in whole[1:]):
        raise UnusableError(f"several JSON objects with different {key!r}")
    return whole[0]


def rationale_of(found: Mapping[str, Any], key: str = "rationale") -> str | None:
    """The stated reasons, if they are a text."""
    value = found.get(key)
    return storable(value) if isinstance(value, str) and value.strip() else None


def read_choice(text: str, key: str, allowed: Sequence[str]) -> tuple[str, str | None]:
    """One of the allowed labels and the rationale. Raises UnusableError for anything else."""
    found = verdict_object(text, key)
    value = found[key]
    plain = value.strip().strip("*") if isinstance(value, str) else value
    for label in allowed:
        if isinstance(plain, str) and plain.casefold() == label.casefold():
            return label, rationale_of(found)
    raise UnusableError(f"{key} is {value!r}, allowed: {', '.join(allowed)}")


def read_rating(text: str, key: str, low: int, high: int, not_applicable: bool) -> tuple[float | None, str | None]:
    """A number on the scale (None for N/A) and the rationale. Raises UnusableError for anything else."""
    found = verdict_object(text, key)
    return rating(found[key], key, low, high, not_applicable), rationale_of(found)


def rating(value: Any, where: str, low: int, high: int, not_applicable: bool) -> float | None:
    """A number within [low, high], also as text, or None for N/A. Raises UnusableError for anything else."""
    if isinstance(value, str):
        plain = value.strip().strip("*").strip()
        if plain.upper() in {"N/A", "NA"}:
            value = None
        elif re.fullmatch(r"[+-]?\d+(\.\d+)?", plain):
            value = float(plain)
    if value is None:
        if not_applicable:
            return None
        raise UnusableError(f"{where} is N/A, which is not allowed here")
    if isinstance(value, int) and abs(value) > 10**15:
        value = math.inf if value > 0 else -math.inf  # a number of any length may be told of
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnusableError(f"{where} is {value!r}, expected a number from {low} to {high}")
    if not low <= value <= high:
        raise UnusableError(f"{where} is {value:g}, off the scale from {low} to {high}")
    return float(value)


def read_ratings(
    text: str, labels: Sequence[str], low: int, high: int, not_applicable: bool
) -> dict[str, tuple[float | None, str | None]]:
    """A rating and rationale per label, from `{"ratings": [{"response": label, "rationale", "rating"}, …]}`.

    Raises UnusableError when a label is missing, extra or given twice.
    """
    items = verdict_object(text, "ratings")["ratings"]
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise UnusableError("ratings is no list of objects")
    found: dict[str, tuple[float | None, str | None]] = {}
    for one in items:
        label = str(one.get("response", "")).strip().strip("*")
        if label not in labels:
            raise UnusableError(f"a rating is for response {label!r}; asked for: {', '.join(labels)}")
        if label in found:
            raise UnusableError(f"response {label!r} is rated twice")
        if "rating" not in one:
            raise UnusableError(f"response {label!r} has no rating")
        found[label] = (rating(one["rating"], f"rating of {label}", low, high, not_applicable), rationale_of(one))
    if len(found) < len(labels):
        raise UnusableError(f"no rating for {', '.join(label for label in labels if label not in found)}")
    return found


def read_order(text: str, labels: Sequence[str]) -> tuple[list[str], str | None]:
    """All labels, best first, from a `ranking` list. Raises UnusableError unless each is once there."""
    found = verdict_object(text, "ranking")
    ranking = found["ranking"]
    if not isinstance(ranking, list) or not all(isinstance(one, str) for one in ranking):
        raise UnusableError("ranking is no list of labels")
    plain = [one.strip().strip("*") for one in ranking]
    if sorted(plain) != sorted(labels):
        raise UnusableError(f"ranking is {', '.join(plain) or 'empty'}; it must hold each of {', '.join(labels)} once")
    return plain, rationale_of(found)
