"""A stage: all that is known of how a table is made, declared once.

When a table is made anew, what its making may read, where it stands in the flow, what a plan says of it and what
people see of it all follow from the declaration.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.stages.basis import Basis, Inputs
from pairwright.assets.stages.run import Made, Run
from pairwright.assets.stages.view import Check, View
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.store import Shard, Workspace, content_version, last_stamp, scan, version_of, write
from pairwright.judges.base import NOT_APPLICABLE, Judge
from pairwright.models.estimate import Estimate
from pairwright.schemas.dataframely import dy
from pairwright.schemas.kinds import Member

MADE_FROM = "made_from"
"""Where a file's stamp says what it was made from."""
FORM = 1
"""Of the records of kept views, raised when they change."""
Expected = Callable[[Shard], pl.DataFrame]
"""The responses (prompt_id, response_id, text) that a shard will have, where some are still to be written."""


@dataclass(frozen=True, kw_only=True)
class Stage(Basis, ABC):
    """One table of a data set: what it follows from, how it is brought up to date, and what is shown of it."""

    doc: str = ""
    """What a row is, in a sentence."""
    made_by: Member | None = None
    """The part of the recipe that makes it, like a judge."""
    schema: type[dy.Schema] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further columns, named by the recipe, with their polars types."""
    checks: tuple[Check, ...] = ()
    view: Callable[[Workspace, Sequence[Shard]], View] | None = None
    """What is shown of some shards; of a fit, of none."""
    view_reads: tuple[str, ...] = ()
    """Further tables that the view reads, of the same shards."""
    view_code: Any = None
    """What the view depends on besides, as a JSON-like value."""
    at_once: bool = False
    """Whether bringing up one shard brings up all: such a stage cannot be spread."""

    @classmethod
    def of(cls, basis: Basis, **how: Any) -> Self:
        """From what it follows from, and the other fields of a stage."""
        return cls(**{one.name: getattr(basis, one.name) for one in fields(Basis)}, **how)

    @abstractmethod
    def bring_up_shard(self, workspace: Workspace, shard: Shard | None, run: Run) -> Made:
        """Bring one shard (of a fit: None) up to date; nothing is done where it is."""

    def bring_up(
        self, workspace: Workspace, shards: Iterable[Shard | None] | None = None, run: Run | None = None
    ) -> Made:
        """Bring some shards up to date, or all."""
        every, run = self.shards(workspace) if shards is None else list(shards), run or Run()
        every = every[:1] if self.at_once else every

        def here(shard: Shard | None) -> Made:
            return self.bring_up_shard(workspace, shard, run)

        total, start = Made(), time.perf_counter()
        try:
            for number, made in enumerate(run.runner.each(self, workspace, every, here), start=1):
                total += made
                if self.tells and (made.files or not self.fit):  # a fit is asked for by whoever reads it
                    tell(self.name, number, len(every))
        finally:
            run.forget()
        return total._replace(seconds=time.perf_counter() - start)

    @property
    def basis(self) -> Basis:
        """What it follows from."""
        return self

    @property
    def spreads(self) -> bool:
        """Whether its shards may be made in other processes: work of the processor that loads no model."""
        return False

    def is_due(self, workspace: Workspace, shard: Shard | None) -> bool:
        """Whether there may be something to do for a shard."""
        return True

    @property
    def tells(self) -> bool:
        """Whether its progress is counted in shards; else it tells of it itself, in smaller steps."""
        return False

    def versions(self, workspace: Workspace, shards: Sequence[Shard]) -> list[str]:
        """Of the files that its view shows."""
        tables = [*self.view_reads, self.table]
        return [version_of(workspace.file(table, shard)) for table in tables for shard in shards]

    def seen(self, workspace: Workspace, shards: Sequence[Shard]) -> View:
        """Its view of some shards, kept until what it shows changes."""
        make = self.view
        if make is None:
            return View()
        made_from = [f"form {FORM}", repr(self.view_code), *self.versions(workspace, shards)]
        record = kept_view(workspace, self.name, made_from, lambda: make(workspace, shards).record())
        return View.from_record(record)


@dataclass(frozen=True, kw_only=True)
class Derived(Stage):
    """A table that costs nothing: a function of what it reads."""

    make: Callable[[Inputs], pl.DataFrame]
    expected: Callable[[Workspace, Shard], pl.DataFrame] | None = None
    """For plans: what its rows will be like where some of what it reads is still to be paid for."""

    def is_current(self, workspace: Workspace, shards: Iterable[Shard | None] | None = None) -> bool:
        """Whether it is there, made from just what its inputs are now."""
        return all(
            last_stamp(self.file(workspace, shard)).get(MADE_FROM) == self.stamp(workspace, shard)
            for shard in (self.shards(workspace) if shards is None else shards)
        )

    @property
    def tells(self) -> bool:
        """In shards."""
        return True

    @property
    def spreads(self) -> bool:
        """All but fits, which are made once."""
        return not self.fit

    def is_due(self, workspace: Workspace, shard: Shard | None) -> bool:
        """Whether it was made from something else than its inputs are now."""
        return not self.is_current(workspace, [shard])

    def bring_up_shard(self, workspace: Workspace, shard: Shard | None, run: Run) -> Made:
        """Make it, unless it was made from what its inputs are now."""
        stamp, path = self.stamp(workspace, shard), self.file(workspace, shard)
        if last_stamp(path).get(MADE_FROM) == stamp:
            return Made()
        rows = self.make(self.reading(workspace, shard))
        version = content_version(rows) if self.fit else stamp  # a fit that comes out the same moves nothing
        write(rows, path, {"version": version, MADE_FROM: stamp})
        return Made(files=1, rows=rows.height)


@dataclass(frozen=True, kw_only=True)
class Paid(Stage):
    """A table of paid work, in a ledger: what is missing is asked for, and nothing else."""

    label: str
    """What a plan calls it."""
    kind: str
    """Of its line in a plan."""
    answer: Callable[[Workspace, Shard, Run], int]
    """Asks for what a shard lacks; how many rows there were."""
    estimate: Callable[[Workspace, Expected | None], Estimate]
    """What is missing would take so much; nothing is spent."""

    @property
    def spreads(self) -> bool:
        """What a judge computes by itself."""
        return isinstance(self.made_by, Judge) and not (self.made_by.calls_server or self.made_by.loads_model)

    def is_due(self, workspace: Workspace, shard: Shard | None) -> bool:
        """Whether something else was wanted before than is now, or an answer is to be tried again."""
        return last_stamp(self.file(workspace, shard)).get("work") != self.stamp(workspace, shard)

    def bring_up_shard(self, workspace: Workspace, shard: Shard | None, run: Run) -> Made:
        """Ask for what the shard lacks."""
        assert shard is not None, "paid work has shards"
        before, path = run.spent, self.file(workspace, shard)
        version = last_stamp(path).get("version")
        rows = self.answer(workspace, shard, run)
        after = run.spent
        failed = pl.col("failure").is_not_null() & (pl.col("failure") != NOT_APPLICABLE)
        return Made(
            files=int(last_stamp(path).get("version") != version),
            rows=rows,
            calls=after.calls - before.calls,
            cost_usd=after.usd - before.usd,
            failures=scan([path]).select(failed.sum()).collect().item(),
        )


@dataclass(frozen=True, kw_only=True)
class AtOnce(Stage):
    """What is made of all shards in one go, and keeps account of itself, as the intake does and a release."""

    make: Callable[[Workspace, Run], Made]
    """Its steps may be spread by the run's runner."""
    shows: Callable[[Workspace, Sequence[Shard]], list[str]] | None = None
    """The versions of what its view shows, where that is no table of its own."""
    at_once: bool = True

    def bring_up_shard(self, workspace: Workspace, shard: Shard | None, run: Run) -> Made:
        """Make all of it, unless it is up to date."""
        return self.make(workspace, run)

    def versions(self, workspace: Workspace, shards: Sequence[Shard]) -> list[str]:
        """Of what its view shows."""
        return self.shows(workspace, shards) if self.shows else super().versions(workspace, shards)
