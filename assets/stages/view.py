"""What people see of a table: its numbers, pictures, and the results of its checks, each with its type."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.schemas.errors import PairwrightError


class Check(NamedTuple):
    """A question to a table that has just been made."""

    name: str
    doc: str
    """What holds where it passes."""
    stops: bool = False
    """Whether what comes after waits until it passes; else it only warns."""


class Finding(NamedTuple):
    """What a check found."""

    passed: bool
    found: str


class ChecksError(PairwrightError):
    """Checks that stop have failed before anything became visible: nothing was made."""

    def __init__(self, message: str, findings: Mapping[str, Finding]) -> None:
        super().__init__(message)
        self.findings = findings


class View(NamedTuple):
    """What is shown of a table, or of some of its shards."""

    numbers: Mapping[str, int | float] = {}
    pictures: Mapping[str, str] = {}
    """Markdown, in which dataset text is inert."""
    findings: Mapping[str, Finding] = {}
    """By the name of the check."""

    def __or__(self, other: "View") -> "View":
        """Both, the other's where both have a name."""
        return View(
            {**self.numbers, **other.numbers}, {**self.pictures, **other.pictures}, {**self.findings, **other.findings}
        )

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return self._asdict() | {"findings": {name: list(one) for name, one in self.findings.items()}}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """From what `record` gave. Raises KeyError or TypeError for anything else."""
        findings = {name: Finding(*one) for name, one in record["findings"].items()}
        return cls(record["numbers"], record["pictures"], findings)


def preview(table: str, workspace: Workspace, shards: Sequence[Shard], without: Sequence[str] = ()) -> View:
    """How many rows a table has, and the first of them, `without` some columns."""
    rows = scan([workspace.file(table, shard) for shard in shards])
    shown = rows.head(views.PREVIEW).select(pl.exclude(without)).collect()
    return View({"rows": rows.select(pl.len()).collect().item()}, {"preview": views.table(shown)})
