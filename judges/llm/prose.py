"""Verdicts in plain words, for judges that were asked for a sentence: which of two outputs is said to be better."""

import re
from typing import Literal

from pairwright.models.serving.reply import UnusableError

Winner = Literal["a", "b", "tie"]

_OUTPUT = r"output\s*\(?\s*\**([ab])\**\s*\)?"
_QUICK = re.compile(rf"^[\s#*]*(?:{_OUTPUT})[\s.*]*$", re.IGNORECASE)
_FIRST_LINE = re.compile(rf"^[\s#*]*(?:{_OUTPUT})[\s.*]*\n", re.IGNORECASE)
_BETTER = re.compile(
    rf"{_OUTPUT}[\s\"'*,]*(?:is|as|to be)\s+(?!not\b)"
    r"(?:(?:the|a|more|slightly|indeed|much|clearly|generally|still|considered|deemed)\s+)*"
    r"(?:better|preferable|superior)",
    re.IGNORECASE,
)
_CHOOSE = re.compile(rf"\b(?:choose|chose|prefer|select|go with)\s+{_OUTPUT}", re.IGNORECASE)
_REPORTED = re.compile(r"\bassistant\s*\(?[ab]\)?\s+(?:\w+\s+){1,3}that\s*$", re.IGNORECASE)
_TIE = re.compile(
    r"\b(?:equally (?:good|well|bad)|both outputs? (?:are|is) (?:equal|identical)|no (?:clear )?winner)\b",
    re.IGNORECASE,
)
_ASPECT = re.compile(r"^\s*(?:in terms of|when it comes to|with regard to|regarding)\b", re.IGNORECASE)
_CONDITION = re.compile(r"\b(?:if|whether|which|argues?|argued|claims?|claimed|claiming)\b[^.,]*$", re.IGNORECASE)


def better_of_two(text: str) -> tuple[Winner, str]:
    """Who is said to be better, and the words that say so. Raises UnusableError where nothing or both is said.

    Only the judge's own verdict on the whole counts: not what it reports of others' arguments, nor what it says of
    one aspect.
    """
    if not text.strip():
        raise UnusableError("the answer is empty")
    for pattern in (_QUICK, _FIRST_LINE):
        if found := pattern.match(text):
            return _label(found.group(1)), found.group(0).strip()
    own = _verdicts(text)
    if len({winner for winner, _ in own}) > 1:
        raise UnusableError("it says of either output that it is better")
    if own:
        return own[-1]
    if found := _TIE.search(text):
        return "tie", found.group(0)
    raise UnusableError("no sentence says which output is better")


def _verdicts(text: str) -> list[tuple[Winner, str]]:
    found: list[tuple[Winner, str]] = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        if _ASPECT.search(sentence):
            continue
        for pattern in (_BETTER, _CHOOSE):
            for match in pattern.finditer(sentence):
                before = sentence[: match.start()]
                if _CONDITION.search(before) or _REPORTED.search(before):
                    continue
                found.append((_label(match.group(1)), sentence.strip()))
    return found


def _label(letter: str) -> Winner:
    return "a" if letter.lower() == "a" else "b"


_SCORES = re.compile(r"\[\[score_([12])\]\]\s*([+-]?\d+(?:\.\d+)?)(?![\d.]*\d)")


def two_scores(text: str, low: float, high: float) -> tuple[float, float]:
    """The numbers after `[[score_1]]` and `[[score_2]]`. Raises UnusableError unless both are there, once."""
    found: dict[str, float] = {}
    for which, value in _SCORES.findall(text):
        if which in found:
            raise UnusableError(f"score {which} is given twice")
        found[which] = float(value)
    if set(found) != {"1", "2"}:
        raise UnusableError("a score is missing")
    for value in found.values():
        if not low <= value <= high:
            raise UnusableError(f"score {value:g} is off the scale from {low:g} to {high:g}")
    return found["1"], found["2"]
