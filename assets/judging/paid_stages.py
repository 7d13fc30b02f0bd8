"""The stages of paid judging: domains, likelihoods and verdicts; who answers, what it would cost, what is shown."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.judging import domains, judge, likelihood
from pairwright.assets.judging.audit import CODE, audit_view, checks_of, models_of
from pairwright.assets.judging.domains import domains_basis, domains_table, route_shard
from pairwright.assets.judging.given import given_basis, given_making
from pairwright.assets.judging.likelihood import pass_basis, read_in
from pairwright.assets.judging.verdicts import value_of, verdicts_basis, verdicts_table
from pairwright.assets.stages.run import Run
from pairwright.assets.stages.stage import Derived, Expected, Paid
from pairwright.assets.stages.view import Check, Finding, View
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.judges.base import NOT_APPLICABLE, Judge
from pairwright.judges.given import Given
from pairwright.judges.router import Router
from pairwright.models.estimate import Estimate
from pairwright.models.local.request import PassRequest
from pairwright.schemas.paid_tables import Domains, Likelihoods
from pairwright.schemas.recipe import Recipe

FAILURES = "watch_failures"
MOST_FAILURES = 0.05
"""Share of a table's rows above which a check warns."""


def domains_stage(router: Router) -> Paid:
    """What a router has sorted."""

    def answer(workspace: Workspace, shard: Shard, run: Run) -> int:
        return route_shard(router, workspace, shard, run.budget)

    def estimate(workspace: Workspace, expected: Expected | None) -> Estimate:
        return domains.estimate(router, workspace)

    unsorted = "At most 5 % of the prompts could not be sorted and are treated as the first domain."
    return Paid.of(
        domains_basis(router),
        doc="The domain of each prompt.",
        made_by=router,
        schema=Domains,
        checks=(Check(FAILURES, unsorted),),
        view=partial(_domains_view, domains_table(router)),
        label=router.name,
        kind="router",
        answer=answer,
        estimate=estimate,
    )


def pass_stage(need: PassRequest) -> Paid:
    """A model's pass over the responses."""

    def answer(workspace: Workspace, shard: Shard, run: Run) -> int:
        return read_in(run, need, workspace, shard)

    return Paid.of(
        pass_basis(need),
        doc=f"How likely `{need.model.id}` finds each response: one pass that judges and filters share.",
        schema=Likelihoods,
        checks=(Check(FAILURES, "At most 5 % of the responses could not be read."),),
        view=partial(_likelihoods_view, need.table),
        label=likelihood.name(need),
        kind="likelihoods",
        answer=answer,
        estimate=partial(likelihood.estimate, need),
    )


def verdicts_stage(recipe: Recipe, one: Judge) -> Paid | Derived:
    """A judge's verdicts; those that the sources have are free."""
    if isinstance(one, Given):
        return _given_stage(one)
    own = models_of(recipe, one)

    def answer(workspace: Workspace, shard: Shard, run: Run) -> int:
        return judge.judge_shard(one, workspace, shard, run.budget)

    def view(workspace: Workspace, shards: Sequence[Shard]) -> View:
        files = _files(verdicts_table(one), workspace, shards)
        return verdicts_view(one, files) | audit_view(one, workspace, files, own)

    audited = (Check(name, doc) for name, doc in checks_of(one).items())
    return Paid.of(
        verdicts_basis(one),
        doc="Which of two responses is better." if one.asks_about == "pair" else "The score of each response.",
        made_by=one,
        schema=one.table,
        checks=(Check(FAILURES, "At most 5 % of the responses are without a score."), *audited),
        view=view,
        view_code=[CODE, sorted(own)],
        label=one.name,
        kind=one.content()["kind"],
        answer=answer,
        estimate=partial(judge.estimate, one),
    )


def _given_stage(one: Given) -> Derived:
    def view(workspace: Workspace, shards: Sequence[Shard]) -> View:
        return verdicts_view(one, _files(verdicts_table(one), workspace, shards))

    return Derived.of(
        given_basis(one),
        doc="What the sources say of responses.",
        made_by=one,
        schema=one.table,
        checks=(Check(FAILURES, "At most 5 % of what the sources say cannot be used."),),
        view=view,
        make=given_making(one),
    )


def verdicts_view(one: Judge, files: Sequence[Path]) -> View:
    """Counts, the spread of the scores, and the commonest failures."""
    scores = scan(files).select(score=value_of(one), failure="failure").collect()
    scores = scores.filter(pl.col("failure").is_null() | (pl.col("failure") != NOT_APPLICABLE))
    numbers = scores.get_column("score").drop_nulls()
    pictures = {"scores": views.histogram(numbers, one.name)} if numbers.len() else {}
    return _counted(scores, "rows without a score", pictures)


def _domains_view(table: str, workspace: Workspace, shards: Sequence[Shard]) -> View:
    """Counts, prompts per domain, and why prompts were not sorted."""
    rows = scan(_files(table, workspace, shards)).select("domain", "failure").collect()
    by_domain = rows.get_column("domain").drop_nulls().value_counts(sort=True)
    return _counted(rows, "prompts were not sorted", {"prompts per domain": views.table(by_domain)})


def _likelihoods_view(table: str, workspace: Workspace, shards: Sequence[Shard]) -> View:
    """Counts, log-probability per token, and why responses were not read."""
    columns = ("logprob", "tokens", "prompt_tokens", "truncated", "failure")
    rows = scan(_files(table, workspace, shards)).select(columns).collect()
    read = rows.filter(pl.col("tokens") > 0)
    totals = rows.select(pl.col("tokens", "prompt_tokens", "truncated").sum())
    pictures = {}
    if read.height:
        mean = read.get_column("logprob") / read.get_column("tokens")
        pictures["log-probability"] = views.histogram(mean, "log-probability per token")
    pictures["totals"] = views.table(totals)
    sums = {name: int(value) for name, value in totals.row(0, named=True).items()}
    return View(sums) | _counted(rows, "responses were not read", pictures)


def _counted(rows: pl.DataFrame, failed: str, pictures: dict[str, str]) -> View:
    """How many rows there are, and how many of them failed: those with a `failure`."""
    failures = rows.get_column("failure").count()
    found = Finding(failures <= MOST_FAILURES * rows.height, f"{failures} of {rows.height} {failed}")
    pictures |= views.commonest(rows.get_column("failure"))
    return View({"rows": rows.height, "failures": failures}, pictures, {FAILURES: found})


def _files(table: str, workspace: Workspace, shards: Sequence[Shard]) -> list[Path]:
    return [workspace.file(table, shard) for shard in shards]
