"""The one family of errors. Each message names the value, what is allowed, and the fix."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path


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


class BudgetError(PairwrightError):
    """The recipe's budget is spent; all paid work is kept."""


def nearest(word: str, allowed: Sequence[str], aliases: Mapping[str, Sequence[str]] | None = None) -> str:
    """A question after the nearest of the allowed words, to be put behind a wrong one; nothing where none is near.

    `aliases` says what else the allowed words are looked for by.
    """
    other = {alias: name for name, several in (aliases or {}).items() for alias in several}
    found = difflib.get_close_matches(word, [*allowed, *other], n=1)
    return f" (did you mean {other.get(found[0], found[0])!r}?)" if found else ""
