"""The plan: what a build would compute, before anything is spent."""

import functools
from typing import NamedTuple

import polars as pl

from pairwright.assets.flow import flow
from pairwright.assets.intake.source import Intake, take_in
from pairwright.assets.stages.stage import Derived, Expected, Paid
from pairwright.assets.storage.repair import mended
from pairwright.assets.storage.reply_ledger import budget_of, findings_file
from pairwright.assets.storage.store import Workspace
from pairwright.models.estimate import Estimate
from pairwright.models.serving.endpoint import WINDOW
from pairwright.models.serving.reply_store import ReplyStore
from pairwright.pipelines.asked_in_vain import refuse_in_vain
from pairwright.pipelines.reasoning_cost import with_reasoning
from pairwright.pipelines.snapshot import snapshot
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.kinds import Kind
from pairwright.schemas.recipe import Recipe


class Line(NamedTuple):
    """What one policy, one judge, or one model's pass, would take."""

    judge: str
    kind: str
    estimate: Estimate
    """With the window of its batches, which are all sent at once: the longest that they may take."""
    asker: Kind | None = None
    """The policy, router or judge."""


class Plan(NamedTuple):
    """What a build would take."""

    intake: Intake
    lines: list[Line]
    windows: int
    """Of batches, one after the other: most that any table waits for, itself included."""

    @property
    def total(self) -> Estimate:
        """Of all of them. Batches of tables that do not read one another are under way at the same time."""
        total = sum((line.estimate for line in self.lines), Estimate())
        at_once = sum(line.estimate.batches > 0 for line in self.lines) - self.windows
        return total._replace(seconds=total.seconds - at_once * WINDOW)


def plan(recipe: Recipe, workspace: Workspace) -> Plan:
    """Count what is missing, judge by judge; nothing under the data folder changes.

    Works beside it, on links, so that a build may go on meanwhile: where one replaces the tables of the intake, the
    plan is made again from the sources themselves. Raises RecipeError for a budget that would hold nothing, and
    JudgeError where the recipe asks for what a server refuses.
    """
    budget = budget_of(recipe, workspace)  # refuses one that would hold nothing
    made = _steady_plan(recipe, workspace)
    lines = []
    for line in made.lines:
        if line.asker is not None and line.estimate.calls:
            refuse_in_vain(line.asker, ReplyStore(budget, findings=findings_file(workspace.data)))
            line = line._replace(estimate=with_reasoning(line.estimate, line.asker, workspace))
        if line.estimate.batches:
            line = line._replace(estimate=line.estimate._replace(seconds=line.estimate.seconds + WINDOW))
        lines.append(line)
    return made._replace(lines=lines)


def _steady_plan(recipe: Recipe, workspace: Workspace) -> Plan:
    with snapshot(workspace) as beside:
        try:
            made = _mended_plan(recipe, beside.workspace)
        except (PairwrightError, OSError, pl.exceptions.PolarsError):
            if not beside.is_stale():
                raise
        else:
            if not beside.is_stale():
                return made
    with snapshot(workspace, intake=False) as beside:
        return _mended_plan(recipe, beside.workspace)


def _mended_plan(recipe: Recipe, workspace: Workspace) -> Plan:
    return mended(workspace.root, lambda: _plan(recipe, workspace))


def _plan(recipe: Recipe, workspace: Workspace) -> Plan:
    intake = take_in(recipe, workspace)
    lines: list[tuple[Paid, Line]] = []
    expected: Expected | None = None
    windows = dict[str, int]()  # until a table is there
    for stage in flow(recipe):
        reads = [*(one.table for one in stage.inputs), stage.table]  # those that fill one table go one after the other
        windows[stage.table] = max(windows.get(table, 0) for table in reads)
        if isinstance(stage, Paid):
            estimate = stage.estimate(workspace, expected)
            windows[stage.table] += estimate.batches > 0
            asker = stage.made_by if isinstance(stage.made_by, Kind) else None
            lines.append((stage, Line(stage.label, stage.kind, estimate, asker)))
        elif isinstance(stage, Derived) and stage.expected:
            if any(line.estimate.calls or line.estimate.passes for _, line in lines):
                expected = functools.partial(stage.expected, workspace)
            else:
                for one in [*(one for one, _ in lines), stage]:
                    one.bring_up(workspace)  # nothing is missing: nothing is paid for
    order = [id(judge) for judge in recipe.judges]  # in the flow, a judge comes after its guide
    lines.sort(key=lambda both: order.index(id(both[0].made_by)) if id(both[0].made_by) in order else -1)
    return Plan(intake, [line for _, line in lines], max(windows.values()))
