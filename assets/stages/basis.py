"""What a table's rows follow from: its inputs, the options of the recipe that it heeds, and its code.

Its stamp, and what its making may read, are made of nothing else.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from pairwright.assets.storage.store import Shard, Workspace, version_of
from pairwright.schemas.ids import fingerprint


class Input(NamedTuple):
    """A table that a stage reads: of its own shard."""

    table: str
    every_shard: bool = False
    """Of all shards, as what looks at the whole data set does."""
    fit: bool = False
    """The table is a fit: it has no shards."""
    may_be_absent: bool = False
    """A plan asks before it is there."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """One table of a data set, and what its rows follow from."""

    name: str
    """What people see, like `verdicts/bleu`."""
    table: str
    """The folder of its files; of a fit, the name of its file."""
    inputs: tuple[Input, ...]
    options: Any = None
    """The parts of the recipe that can change its rows, as a JSON-like value."""
    code: int | str = 1
    """Raised when the same inputs and options would give other rows."""
    fit: bool = False
    """Whether it is one small table about the whole data set; else it has a file a shard."""

    def file(self, workspace: Workspace, shard: Shard | None) -> Path:
        """Where it lies."""
        return file_of(workspace, self.table, shard)

    def shards(self, workspace: Workspace) -> list[Shard | None]:
        """What it is made for one by one: the shards, or the data set once."""
        return [None] if self.fit else list(workspace.each_shard())

    def stamp(self, workspace: Workspace, shard: Shard | None) -> str:
        """Names all that its rows of a shard follow from. Raises StoreError where an input is missing."""
        versions = [[one.table, *_versions(one, workspace, shard)] for one in self.inputs]
        return fingerprint({"code": self.code, "options": self.options, "inputs": versions})

    def reading(self, workspace: Workspace, shard: Shard | None) -> "Inputs":
        """What its making may read."""
        return Inputs.of_stage(self, workspace, shard)


class Inputs(Workspace):
    """A data set of which only what a stage has declared can be read: it is handed this, and nothing else."""

    _whole: Workspace
    _stage: Basis
    _shard: Shard | None

    @classmethod
    def of_stage(cls, stage: Basis, workspace: Workspace, shard: Shard | None) -> Self:
        """What a stage may read when it makes a shard."""
        one = cls(*workspace)
        one._whole = workspace._whole if isinstance(workspace, Inputs) else workspace
        one._stage, one._shard = stage, shard
        return one

    @property
    def shard(self) -> Shard:
        """The shard that is made. Raises LookupError in a fit, which has none."""
        if self._shard is None:
            raise LookupError(f"{self._stage.name} is a fit: it is made for all shards at once")
        return self._shard

    @property
    def root(self) -> Path:
        """Nothing that a stage may look at."""
        raise LookupError(f"stage {self._stage.name} reads past its declared inputs")

    def file(self, table: str, shard: Shard) -> Path:
        """The file of a declared table. Raises LookupError for any other table or shard."""
        found = self._declared(table)
        if found.fit or not (found.every_shard or shard == self._shard):
            raise LookupError(f"stage {self._stage.name} does not declare that it reads other shards of {table!r}")
        return self._whole.file(table, shard)

    def files(self, table: str) -> list[Path]:
        """The files of all shards of a declared table. Raises StoreError where some are missing."""
        for shard in self.each_shard():
            self.file(table, shard)
        return self._whole.files(table)

    def fit_file(self, table: str) -> Path:
        """The file of a declared fit."""
        if not self._declared(table).fit:
            raise LookupError(f"stage {self._stage.name} declares {table!r} as a table with shards")
        return file_of(self._whole, table, None)

    def _declared(self, table: str) -> Input:
        for one in self._stage.inputs:
            if one.table == table:
                return one
        raise LookupError(f"stage {self._stage.name} does not declare that it reads {table!r}")


def file_of(workspace: Workspace, table: str, shard: Shard | None) -> Path:
    """Where a table's shard lies, or a fit."""
    return workspace.root / f"{table}.parquet" if shard is None else workspace.file(table, shard)


def _versions(one: Input, workspace: Workspace, shard: Shard | None) -> list[str]:
    if one.fit:
        paths = [file_of(workspace, one.table, None)]
    elif one.every_shard:
        paths = [workspace.file(one.table, each) for each in workspace.each_shard()]
    elif shard is not None:
        paths = [workspace.file(one.table, shard)]
    else:
        raise LookupError(f"a fit reads all shards of {one.table!r}: declare it so")
    return ["" if one.may_be_absent and not path.exists() else version_of(path) for path in paths]
