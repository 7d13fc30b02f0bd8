"""The one family of errors. Each message names the value, what is allowed, and the fix."""

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class PairwrightError(Exception):
    """Base of every error that a user can mend; the command line prints it as one line, without a traceback."""


class RecipeError(PairwrightError):
    """The recipe cannot be used as written."""


class SourceError(PairwrightError):
    """A source file or dataset is missing, unreadable, or lacks what the recipe asks of it."""


class JudgeError(PairwrightError):
    """A judge cannot run at all (a missing model, an unreachable server); nothing was written."""


class StoreError(PairwrightError):
    """A table on disk is missing, damaged, or in use by another build."""


class DamagedError(StoreError):
    """A file is not what was written: `path` names it."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """It may be raised in another process than it is told in."""
        return type(self), (self.path, str(self))


class BudgetError(PairwrightError):
    """The recipe's budget is spent; all paid work is kept."""


def nearest(word: str, allowed: Sequence[str], aliases: Mapping[str, Sequence[str]] | None = None) -> str:
    """A question after the nearest of the allowed words, to be put behind a wrong one; nothing where none is near.

    `aliases` says what else the allowed words are looked for by.
    """
    other = {alias: name for name, several in (aliases or {}).items() for alias in several}
    found = difflib.get_close_matches(word, [*allowed, *other], n=1)
    return f" (did you mean {other.get(found[0], found[0])!r}?)" if found else ""


SHORT = 80
"""Characters of a value in a message."""
_BOUNDED = reprlib.Repr()
_BOUNDED.maxlevel, _BOUNDED.maxstring, _BOUNDED.maxlong, _BOUNDED.maxother = 3, SHORT, SHORT, SHORT


def short(value: Any) -> str:
    """A value as one short line, however large or deep it is and whatever characters it holds."""
    try:
        text = _BOUNDED.repr(value)
    except ValueError:  # a whole number with more digits than Python writes out
        text = f"a number of {value.bit_length():,} bits" if isinstance(value, int) else type(value).__name__
    return one_line(text, SHORT)


def one_line(text: str, limit: int = 1_000) -> str:
    """The text with breaks as spaces and what cannot be printed as escapes, cut to `limit` characters."""
    flat = " ".join(text[: 4 * limit].split())
    if not flat.isprintable():
        flat = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in flat)
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def dotted(steps: Sequence[Any]) -> str:
    """The way to a value, as `judges[0].model`; a key that is no plain word stands there as a quoted text."""
    text = ""
    for step in steps:
        if isinstance(step, int) and not isinstance(step, bool):
            text += f"[{step}]" if step.bit_length() < 64 else f"[{short(step)}]"
            continue
        name = step if isinstance(step, str) and step.isprintable() and len(step) < SHORT and step else short(step)
        text += f".{name}" if text else name
    return text
