"""Judging again: a share of the old verdicts every night, and those past their age, each as a new round.

The newest round counts. An answer that fails is no new round: the old verdict stays, and the next night asks again.
When a verdict was given is kept beside the ledgers (`relabel/…`), not in them: they hold what was said, and the same
answers make the same bytes whenever they were given. A verdict's age counts from the first night that saw it.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg
import polars as pl

from pairwright.assets import face, views
from pairwright.assets.judge import BATCH, KEY, WANTED, _finished, _work, verdicts_table, wanted
from pairwright.assets.ledger import Ledger
from pairwright.assets.prefer import judges_of
from pairwright.assets.progress import tell
from pairwright.assets.store import Shard, Workspace, replacing
from pairwright.judges.base import Batch, Judge
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import digest
from pairwright.schemas.recipe import Recipe, Schedule
from pairwright.schemas.tables import Scores

NIGHT = "pairwright/night"
"""Tag of a run that judges again: the night's time, in ISO 8601."""
SINCE = pl.Datetime("us", "UTC")
AGES = pl.Schema({"prompt_id": pl.String(), "response_id": pl.String(), "round": pl.UInt16(), "since": SINCE})


class Drift(NamedTuple):
    """How a judge's second opinions compare with its first ones, over one night."""

    judge: str
    judged_again: int
    """Responses with a new round."""
    failed: int
    """Responses that were asked about again without an answer; the old verdict stays."""
    compared: int
    """Pairs of responses of a prompt that were both judged again and that the old round did not tie."""
    agreement: float | None
    """Share of these that the new round orders the same: test-retest agreement."""
    flipped: int
    """How many it orders the other way."""
    mean_change: float | None
    """Mean absolute difference of a score."""


def audit(recipe: Recipe, workspace: Workspace, now: datetime) -> list[Drift]:
    """Judge again what the recipe's schedule asks for on the night of `now`; a night that broke off comes first.

    Which prompts are drawn depends on their ids and the night alone. Raises RecipeError without a schedule.
    """
    if recipe.schedule is None:
        raise RecipeError(f"{recipe.path} has no `schedule:`; relabelling wants one with `relabel:` in it")
    state = workspace.root / "relabel" / "state.json"
    last: dict[str, Any] = json.loads(state.read_text()) if state.exists() else {"finished": True}
    nights = [now] if last["finished"] else sorted({datetime.fromisoformat(last["night"]), now})
    drifts: list[Drift] = []
    for night in nights:
        _remember(workspace, {"night": night.isoformat(), "finished": False})
        drifts = [
            _audit(judge, recipe.schedule, workspace, night) for judge in judges_of(recipe) if not judge.repeatable
        ]
        _remember(workspace, {"night": night.isoformat(), "finished": True, "drift": [one._asdict() for one in drifts]})
    return drifts


def last_night(workspace: Workspace) -> dict[str, Any] | None:
    """What the last finished night found: night and drift; None before the first."""
    state = workspace.root / "relabel" / "state.json"
    known = dict(json.loads(state.read_text())) if state.exists() else {}
    return known if known.get("finished") else None


def _remember(workspace: Workspace, state: dict[str, Any]) -> None:
    with replacing(workspace.root / "relabel" / "state.json") as path:
        path.write_text(json.dumps(state))


def _audit(judge: Judge, schedule: Schedule, workspace: Workspace, night: datetime) -> Drift:
    failed, pieces = 0, []
    for shard in workspace.each_shard():
        failed += _audit_shard(judge, schedule, workspace, shard, night)
        pieces.append(_changes(judge, workspace, shard, night))
        tell(f"relabel/{judge.name}", shard.index + 1, shard.count)
    return _drift(judge.name, pl.concat(pieces), failed)


def _audit_shard(judge: Judge, schedule: Schedule, workspace: Workspace, shard: Shard, night: datetime) -> int:
    """Ask again what is due in a shard; how many answers failed."""
    asked = wanted(judge, workspace, shard).collect()
    path = workspace.file(f"relabel/{verdicts_table(judge).split('/')[1]}", shard)
    with Ledger(workspace, verdicts_table(judge), shard, Scores, WANTED) as ledger:
        known = pl.read_parquet(path, glob=False) if path.exists() else pl.DataFrame(schema=AGES)
        ages = _ages(ledger, asked, known, night)
        due = _due(ages, schedule, night)
        answered = 0
        for batch in _batches(due, workspace, shard):
            for frame in judge.judge(batch):
                rows = _finished(frame, judge).filter(pl.col("score").is_not_null()).drop("round")
                rows = rows.join(asked, on=KEY).join(due.select(*KEY, pl.col("round") + 1), on=KEY)
                ledger.append(rows)
                answered += rows.select(KEY).n_unique()
        ledger.merge(_work(judge, workspace, shard))
        ages = _ages(ledger, asked, ages, night)
    with replacing(path) as temporary:
        ages.write_parquet(temporary)
    return due.height - answered


def _ages(ledger: Ledger, asked: pl.DataFrame, known: pl.DataFrame, night: datetime) -> pl.DataFrame:
    """AGES of every answered response: since this night if it was not known, or known in an older round only."""
    answered = ledger.rows().join(asked, on=WANTED, how="semi").filter(pl.col("score").is_not_null())
    rounds = answered.group_by(KEY).agg(pl.col("round").max())
    joined = rounds.join(known.rename({"round": "known"}), on=KEY, how="left")
    fresh = pl.col("known").is_null() | (pl.col("round") > pl.col("known"))
    since = pl.when(fresh).then(pl.lit(night, SINCE)).otherwise(pl.col("since"))
    return joined.select(*KEY, "round", since=since).sort(KEY)


def _due(ages: pl.DataFrame, schedule: Schedule, night: datetime) -> pl.DataFrame:
    """The rows of whole prompts that are drawn tonight or past their age, less those already judged again tonight."""
    key = int(digest("night", night.isoformat(), size=8), 16)
    number = pl.col("prompt_id").str.slice(0, 15).str.to_integer(base=16, dtype=pl.UInt64)
    mixed = (number ^ pl.lit(key, pl.UInt64)) * pl.lit(0x9E3779B97F4A7C15, pl.UInt64)
    mixed = (mixed ^ (mixed // 2**32)) * pl.lit(0xD6E8FEB86659FD93, pl.UInt64)
    due = (mixed // 2**32).cast(pl.Float64) / 2**32 < schedule.audit_fraction
    if schedule.max_age_days is not None:
        oldest = night - timedelta(days=schedule.max_age_days)
        due |= (pl.col("since") < pl.lit(oldest, SINCE)).any().over("prompt_id")
    done = (pl.col("round") > 0) & (pl.col("since") == pl.lit(night, SINCE))
    return ages.filter(due & ~done)


def _batches(due: pl.DataFrame, workspace: Workspace, shard: Shard) -> Iterator[Batch]:
    """Whole prompts with the responses that are due, about BATCH responses each."""
    if due.is_empty():
        return
    prompts = pl.read_parquet(workspace.file("prompts", shard), glob=False)
    responses = pl.read_parquet(workspace.file("responses", shard), glob=False)
    counts = due.group_by("prompt_id", maintain_order=True).len()
    piece = (pl.col("len").cum_sum() - pl.col("len")) // BATCH
    for ids in counts.select("prompt_id", piece=piece).partition_by("piece", maintain_order=True):
        keys = due.join(ids, on="prompt_id", how="semi").select(KEY)
        yield Batch(
            prompts.join(ids, on="prompt_id", how="semi", maintain_order="left"),
            responses.join(keys, on=KEY, how="semi", maintain_order="left"),
        )


def _changes(judge: Judge, workspace: Workspace, shard: Shard, night: datetime) -> pl.DataFrame:
    """KEY, criterion, old and new score of what was judged again that night."""
    ages = pl.scan_parquet(workspace.file(f"relabel/{verdicts_table(judge).split('/')[1]}", shard), glob=False)
    tonight = ages.filter((pl.col("since") == pl.lit(night, SINCE)) & (pl.col("round") > 0)).select(*KEY, "round")
    rows = pl.scan_parquet(workspace.file(verdicts_table(judge), shard), glob=False)
    rows = rows.join(wanted(judge, workspace, shard), on=WANTED, how="semi").filter(pl.col("score").is_not_null())
    rows = rows.select(*KEY, "criterion", "round", "score")
    new = rows.join(tonight, on=[*KEY, "round"]).rename({"score": "new"})
    old = rows.join(new.select(*KEY, "criterion", newest="round"), on=[*KEY, "criterion"])
    before = (
        old.filter(pl.col("round") < pl.col("newest"))
        .sort("round")
        .group_by(*KEY, "criterion")
        .agg(pl.col("score").last())
    )
    return new.join(before.rename({"score": "old"}), on=[*KEY, "criterion"]).drop("round").collect()


def _drift(judge: str, changes: pl.DataFrame, failed: int) -> Drift:
    """Over the pairs of responses of each prompt, in id order."""
    on = ["prompt_id", "criterion"]
    both = changes.join(changes, on=on, suffix="_b").filter(pl.col("response_id") < pl.col("response_id_b"))
    first, second = ((pl.col(name) - pl.col(f"{name}_b")).sign() for name in ("old", "new"))
    counts = both.filter(first != 0).select(
        compared=pl.len(), same=(first == second).sum(), flipped=(first == -second).sum()
    )
    compared, same, flipped = counts.row(0)
    change = (changes.get_column("new") - changes.get_column("old")).abs().mean()
    return Drift(
        judge,
        changes.select(KEY).n_unique(),
        failed,
        compared,
        round(same / compared, 4) if compared else None,
        flipped,
        round(float(change), 4) if isinstance(change, float) else None,
    )


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The drift of a recipe's judges, where the recipe has a schedule."""
    if recipe.schedule is None:
        return []

    @dg.asset(
        **face.common(recipe, "drift", sharded=False),
        deps=[face.key(recipe, "verdicts", judge.name) for judge in judges_of(recipe)],
    )
    def drift(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """In a nightly run, judges a share of the old verdicts again; shows how the last night's answers compare."""
        workspace = Workspace.of(recipe)
        if night := context.run.tags.get(NIGHT):
            audit(recipe, workspace, datetime.fromisoformat(night))
        last = last_night(workspace)
        if last is None or not last["drift"]:
            return face.result({"judged again": "nothing yet"})
        shown = pl.DataFrame(last["drift"])
        return face.result({"night": last["night"], "drift": dg.MarkdownMetadataValue(views.table(shown))})

    return [drift]
