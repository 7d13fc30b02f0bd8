"""How the answers of judges and policies came out: what failed, what was abstained from, and when that is too much."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.display.text import shown
from pairwright.assets.judging.asking import BEYOND
from pairwright.assets.judging.verdicts import choice_of, judges_of, present, scored_from
from pairwright.assets.sampling.pool import draw_of, policies_of, samples_table
from pairwright.assets.sampling.sample import samples_of
from pairwright.assets.stages.basis import Input, Inputs
from pairwright.assets.stages.stage import Derived
from pairwright.assets.storage.store import Shard, Workspace, read_table
from pairwright.judges.base import Judge
from pairwright.judges.per_response import newest
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe

CODE = 1
"""Raised when the same verdicts and samples would be counted otherwise."""
REASONS = 3
"""Reasons that are told of one judge or policy."""
COLUMNS: dict[str, Any] = {
    "part": pl.String,
    "name": pl.String,
    "asked": pl.Int64,
    "failed": pl.Int64,
    "abstained": pl.Int64,
    "reasons": pl.List(pl.Struct({"reason": pl.String, "count": pl.Int64})),
}


class Outcome(NamedTuple):
    """How the present answers of a judge (verdicts) or a policy (samples) came out."""

    part: str
    """`judge` or `policy`."""
    name: str
    asked: int
    failed: int
    """Asked again by the next build, or no number: an accident of the server, the model or the judge's code."""
    abstained: int
    """Facts of the content, as where BLEU finds no reference: no accident, and no vote."""
    reasons: list[dict[str, Any]]
    """The commonest, each with its `count`."""

    @property
    def share(self) -> float:
        """Of failures, among those that it did not abstain from."""
        return self.failed / max(self.asked - self.abstained, 1)

    def is_over(self, most: float) -> bool:
        """Whether the share is above `most`. One failure alone is not, unless none may be."""
        return self.share > most and self.failed > (1 if most > 0 else 0)

    def told(self) -> str:
        """Counts and reasons in one line."""
        what = "verdicts" if self.part == "judge" else "samples"
        lost = {"failed": self.failed, "abstained from": self.abstained}
        counts = ", ".join(f"{count:,} {how}" for how, count in lost.items() if count) or "none failed"
        return f"{self.part} {self.name}: of {self.asked:,} {what} {counts}{told(self.reasons)}"


def told(reasons: Sequence[dict[str, Any]]) -> str:
    """Reasons with their counts, in brackets; nothing where there are none."""
    parts = [f"{one['count']:,} × {shown(one['reason'])!r}" for one in reasons]
    return f" ({', '.join(parts)})" if parts else ""


def commonest(reasons: pl.Series) -> list[dict[str, Any]]:
    """The commonest of some texts, each with its `count`; equally common ones by the alphabet."""
    counts = reasons.drop_nulls().rename("reason").value_counts().with_columns(pl.col("count").cast(pl.Int64))
    return counts.sort("count", "reason", descending=[True, False]).head(REASONS).to_dicts()


def outcomes(recipe: Recipe, workspace: Workspace) -> list[Outcome]:
    """Of every policy and judge, in the recipe's order; kept until an answer changes."""
    stage = outcomes_stage(recipe)
    stage.bring_up(workspace)
    rows = read_table(stage.file(workspace, None))
    return [Outcome(*row) for row in rows.select(Outcome._fields).iter_rows()]


def outcomes_stage(recipe: Recipe) -> Derived:
    """How many answers of each policy and judge failed, and why."""
    tables = ["prompts", *(samples_table(policy) for policy in policies_of(recipe))]
    tables += [table for judge in judges_of(recipe) for table in scored_from(judge)]
    return Derived(
        name="outcomes",
        table="outcomes",
        fit=True,
        inputs=tuple(Input(table, every_shard=True) for table in dict.fromkeys(tables)),
        options={
            "policies": [[one.name, one.fingerprint, one.samples] for one in policies_of(recipe)],
            "pool": draw_of(recipe),
            "judges": [[one.name, one.fingerprint, choice_of(one)] for one in judges_of(recipe)],
        },
        code=CODE,
        make=partial(_table, recipe),
        doc="How many answers of each policy and judge failed, and why.",
    )


def stop_over(recipe: Recipe, found: Sequence[Outcome]) -> None:
    """Raises PairwrightError where more answers failed than the recipe allows, with counts and reasons."""
    most = {("judge", one.name): one.max_failure_share for one in judges_of(recipe)}
    most |= {("policy", one.name): one.max_failure_share for one in policies_of(recipe)}
    over = [one for one in found if one.is_over(most[one.part, one.name])]
    if over:
        lines = [f"{one.told()}, {one.share:.1%} where {most[one.part, one.name]:.1%} may fail" for one in over]
        raise PairwrightError(
            f"{recipe.dataset}: no release, since too many answers failed; {'; '.join(lines)}; a further build asks "
            "for those again and pays for nothing twice; `max_failure_share` at the judge or policy allows more"
        )


def _table(recipe: Recipe, workspace: Inputs) -> pl.DataFrame:
    shards = list(workspace.each_shard())
    rows = []
    for policy in policies_of(recipe):
        pieces = [samples_of(recipe, policy, workspace, shard).select("failure", "retry") for shard in shards]
        rows.append(_counted("policy", policy.name, pl.concat(pieces)))
    for judge in judges_of(recipe):
        rows.append(_counted("judge", judge.name, pl.concat([_verdicts(judge, workspace, shard) for shard in shards])))
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def _verdicts(judge: Judge, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """`failure` and `retry` of the verdicts that count in a shard."""
    rows = present(judge, workspace, shard).select(*judge.keys, "criterion", "round", "failure", "retry").collect()
    if rows.get_column("round").n_unique() > 1:  # of one round, all are the newest
        rows = newest(judge, rows.lazy()).collect()
    return rows.select("failure", "retry")


def _counted(part: str, name: str, rows: pl.DataFrame) -> Outcome:
    without = rows.filter(pl.col("failure").is_not_null())
    failed = without.filter(pl.col("retry") | pl.col("failure").str.starts_with(BEYOND)).height
    reasons = commonest(without.get_column("failure"))
    return Outcome(part, name, rows.height, failed, without.height - failed, reasons)
