"""The plan: what a build would compute, before anything is spent."""

import functools
from typing import NamedTuple

import polars as pl

from pairwright.assets.intake.source import Intake, take_in
from pairwright.assets.judging import domains, likelihood
from pairwright.assets.judging.judge import missing_work
from pairwright.assets.judging.likelihood import passes
from pairwright.assets.judging.verdicts import asked_twice, judges_of, questions, verdicts_table
from pairwright.assets.sampling import sample
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.storage.repair import mended
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace, read_table
from pairwright.judges.base import Batch, Judge
from pairwright.models.estimate import Estimate
from pairwright.pipelines.snapshot import snapshot
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe


class Line(NamedTuple):
    """What one policy, one judge, or one model's pass, would take."""

    judge: str
    kind: str
    estimate: Estimate


class Plan(NamedTuple):
    """What a build would take."""

    intake: Intake
    lines: list[Line]

    @property
    def total(self) -> Estimate:
        """Of all of them."""
        return sum((line.estimate for line in self.lines), Estimate())


def plan(recipe: Recipe, workspace: Workspace) -> Plan:
    """Count what is missing, judge by judge; nothing under the data folder changes.

    Works beside it, on links, so that a build may go on meanwhile: where one replaces the tables of the intake, the
    plan is made again from the sources themselves. Raises RecipeError for a budget that would hold nothing.
    """
    budget_of(recipe, workspace)  # refuses one that would hold nothing
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
    lines = [
        Line(one.name, one.content()["kind"], sample.estimate(recipe, one, workspace)) for one in policies_of(recipe)
    ]
    unsampled = any(line.estimate.calls for line in lines)
    if recipe.policies and not unsampled:
        for shard in workspace.each_shard():
            for policy in policies_of(recipe):
                sample.sample_shard(recipe, policy, workspace, shard)  # nothing is missing: nothing is paid for
            sample.respond(recipe, workspace, shard)
    lines += [Line(one.name, "router", domains.estimate(one, workspace)) for one in domains.routers_of(recipe)]
    for need in passes(recipe):
        expected = functools.partial(sample.expected_responses, recipe, workspace) if unsampled else None
        lines.append(Line(likelihood.name(need), "likelihoods", likelihood.estimate(need, workspace, expected)))
    for judge in judges_of(recipe):
        missing = _expected(recipe, judge, workspace) if unsampled else _missing(judge, workspace)
        lines.append(Line(judge.name, judge.content()["kind"], missing))
    return Plan(intake, lines)


def _expected(recipe: Recipe, judge: Judge, workspace: Workspace) -> Estimate:
    """For responses that are still to be sampled: as many and as long as they are likely to be."""
    total = Estimate()
    for shard in workspace.each_shard():
        responses = sample.expected_responses(recipe, workspace, shard)
        wanted = questions(judge, responses.select("prompt_id", "response_id"))
        path = workspace.file(verdicts_table(judge), shard)
        if path.exists() and judge.asks_about != "prompt":
            wanted = wanted.join(read_table(path, columns=judge.keys), on=judge.keys, how="anti")
        on = judge.keys if judge.asks_about == "response" else ["prompt_id"]
        responses = responses.join(wanted.select(on).unique(), on=on, how="semi", maintain_order="left")
        prompts = read_table(workspace.file("prompts", shard))
        for asked in (wanted, wanted.filter(asked_twice(judge))):
            total = total + judge.estimate(Batch(prompts, responses, wanted=asked)) if asked.height else total
    return total


def _missing(judge: Judge, workspace: Workspace) -> Estimate:
    work = (batch for shard in workspace.each_shard() for batch in missing_work(judge, workspace, shard))
    return sum((judge.estimate(batch) for batch in work), Estimate())
