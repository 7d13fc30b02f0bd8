"""The plan: what a build would compute, before anything is spent."""

from typing import NamedTuple

from pairwright.assets import likelihood
from pairwright.assets.judge import missing_work
from pairwright.assets.likelihood import passes
from pairwright.assets.prefer import judges_of
from pairwright.assets.source import Intake, take_in
from pairwright.assets.store import Workspace
from pairwright.judges.base import Estimate, Judge
from pairwright.schemas.recipe import Recipe


class Line(NamedTuple):
    """What one judge, or one model's pass, would take."""

    judge: str
    kind: str
    estimate: Estimate


class Plan(NamedTuple):
    """What a build would take."""

    intake: Intake
    lines: list[Line]

    @property
    def total(self) -> Estimate:
        """Of all judges."""
        return sum((line.estimate for line in self.lines), Estimate())


def plan(recipe: Recipe, workspace: Workspace) -> Plan:
    """Count what is missing, judge by judge.

    Reads the sources into the prompts and responses tables, which costs nothing and the build then need not repeat.
    """
    intake = take_in(recipe, workspace)
    return Plan(
        intake,
        [
            *(
                Line(likelihood.name(need), "likelihoods", likelihood.estimate(need, workspace))
                for need in passes(recipe)
            ),
            *(Line(judge.name, judge.content()["kind"], _missing(judge, workspace)) for judge in judges_of(recipe)),
        ],
    )


def _missing(judge: Judge, workspace: Workspace) -> Estimate:
    work = (batch for shard in workspace.each_shard() for batch in missing_work(judge, workspace, shard))
    return sum((judge.estimate(batch) for batch in work), Estimate())
