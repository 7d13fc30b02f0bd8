"""A check of what is about to become visible, and how it came out."""

from collections.abc import Sequence
from typing import NamedTuple

from pairwright.schemas.errors import PairwrightError


class Check(NamedTuple):
    """Something that is looked at before a version becomes visible."""

    name: str
    doc: str
    """What holds where it passes."""
    stops: bool
    """Whether there is no version where it fails; else it warns."""


class Checked(NamedTuple):
    """How a check came out."""

    name: str
    stops: bool
    passed: bool
    found: str
    """In a line."""


class ChecksError(PairwrightError):
    """A check that stops has failed: no version was made."""

    def __init__(self, message: str, checks: Sequence[Checked]) -> None:
        super().__init__(message)
        self.checks = tuple(checks)
