"""Judging again: a share of the old verdicts every night, and those past their age, each as a new round.

The newest round counts. An answer that fails is no new round: the old verdict stays, the question is owed, and the next
night asks it again. When a verdict was given is kept beside the ledgers (`relabel/…`), not in them: they hold what was
said, and the same answers make the same bytes whenever they were given. A verdict's age counts from the first night
that saw it.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.judging.asking import answers, cost_of, ledger_of, second_round
from pairwright.assets.judging.judge import UNFINISHED, judge_shard
from pairwright.assets.judging.retest import again, opinions
from pairwright.assets.judging.verdicts import guides_first, value_of, verdicts_basis, verdicts_table, wanted
from pairwright.assets.storage.integrity import damaged, read_record
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan, write, write_record
from pairwright.judges.base import Judge
from pairwright.models.serving.reply_store import Budget
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import drawn
from pairwright.schemas.options import Schedule
from pairwright.schemas.recipe import Recipe

NIGHT = "pairwright/night"
"""Tag of a run that judges again: the night's time, in ISO 8601."""
SINCE = pl.Datetime("us", "UTC")


class Drift(NamedTuple):
    """How a judge's second opinions compare with its first ones, over one night."""

    judge: str
    judged_again: int
    """Verdicts with a new round."""
    failed: int
    """Verdicts that were asked for again without an answer; the old ones stay."""
    compared: int
    """Orders of two responses of a prompt that were judged again and that the old round did not tie."""
    agreement: float | None
    """Share of these that the new round orders the same: test-retest agreement."""
    flipped: int
    """How many it orders the other way."""
    mean_change: float | None
    """Mean absolute difference of a score, or of a probability to win."""


def audit(recipe: Recipe, workspace: Workspace, now: datetime) -> list[Drift]:
    """Judge again what the recipe's schedule asks for on the night of `now`; a night that broke off comes first.

    Which prompts are drawn depends on their ids and the night alone. Raises RecipeError without a schedule.
    """
    if recipe.schedule is None:
        raise RecipeError(f"{recipe.path} has no `schedule:`; relabelling wants one with `relabel:` in it")
    state = workspace.root / "relabel" / "state.json"
    last = _remembered(state) or {"finished": True}
    nights = [now] if last["finished"] else sorted({datetime.fromisoformat(last["night"]), now})
    drifts: list[Drift] = []
    for night in nights:
        _remember(workspace, {"night": night.isoformat(), "finished": False})
        drifts = [drift for judge in guides_first(recipe) for drift in _audit(judge, recipe, workspace, night)]
        _remember(workspace, {"night": night.isoformat(), "finished": True, "drift": [one._asdict() for one in drifts]})
    return drifts


def last_night(workspace: Workspace) -> dict[str, Any] | None:
    """What the last night found, once it is finished: `night` and `drift`, a row a judge; None before the first."""
    state = workspace.root / "relabel" / "state.json"
    known = _remembered(state) or {}
    return {name: known[name] for name in ("night", "drift")} if known.get("finished") else None


def _remember(workspace: Workspace, state: dict[str, Any]) -> None:
    write_record(workspace.root / "relabel" / "state.json", state)


def _remembered(path: Path) -> dict[str, Any] | None:
    """What is known of the last night; None before the first. Raises DamagedError."""
    found = read_record(path)
    if found is None:
        return None
    try:
        datetime.fromisoformat(found["night"])
        if not isinstance(found["finished"], bool) or (found["finished"] and not isinstance(found["drift"], list)):
            raise ValueError("it does not say what came of the night")
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    return found


def _audit(judge: Judge, recipe: Recipe, workspace: Workspace, night: datetime) -> list[Drift]:
    """The drift of a judge; none for one whose answers never change."""
    failed, pieces = 0, []
    budget = budget_of(recipe, workspace)
    if judge.guide is not None:  # whose new scores may call for other verdicts
        for shard in workspace.each_shard():
            judge_shard(judge, workspace, shard, budget)
    if judge.repeatable:
        return []
    for shard in workspace.each_shard():
        failed += _audit_shard(judge, recipe, workspace, shard, night, budget)
        pieces.append(_changes(judge, workspace, shard, night))
        tell(f"relabel/{judge.name}", shard.index + 1, shard.count)
    return [_drift(judge, pl.concat(pieces), failed)]


def _ages_file(judge: Judge, workspace: Workspace, shard: Shard) -> Path:
    return workspace.file(f"relabel/{verdicts_table(judge).split('/')[1]}", shard)


def _audit_shard(
    judge: Judge, recipe: Recipe, workspace: Workspace, shard: Shard, night: datetime, budget: Budget
) -> int:
    """Ask again what is due in a shard; how many answers failed."""
    asked = wanted(judge, workspace, shard).collect()
    path, on = _ages_file(judge, workspace, shard), [*judge.keys, "evidence"]
    assert recipe.schedule is not None
    with ledger_of(judge, workspace, shard) as ledger:
        known = read_table(path) if path.exists() else None
        ages = _ages(judge, ledger, asked, known, night)
        due = _due(judge, ages, recipe.schedule, night).join(asked, on=judge.keys)
        rounds = due.select(*on, pl.col("round") + 1)
        done, answered, cost = set[int](), set[int](), 0.0
        for frame in answers(judge, rounds, workspace, shard, budget, f"-{night:%Y%m%dT%H%M%S}"):
            rows = frame.filter(pl.col(value_of(judge)).is_not_null())
            ledger.append(rows)
            answered.update(rows.select(judge.keys).hash_rows())
            done.update(frame.select(judge.keys).hash_rows())
            cost += cost_of(frame)
            tell(f"relabel/{judge.name} {shard.index + 1}/{shard.count}", len(done), rounds.height, cost)
        lacking = second_round(judge, ledger, asked).height
        ledger.merge(UNFINISHED if lacking else verdicts_basis(judge).stamp(workspace, shard))
        ages = _ages(judge, ledger, asked, ages, night)
    owed = due.join(ages.filter(_again(night)), on=judge.keys, how="anti").select(*judge.keys, owed=True)
    ages = ages.drop("owed").join(owed, on=judge.keys, how="left").with_columns(pl.col("owed").fill_null(False))
    write(ages.sort(judge.keys), path, {})
    return due.height - len(answered)


def _ages(
    judge: Judge, ledger: Ledger, asked: pl.DataFrame, known: pl.DataFrame | None, night: datetime
) -> pl.DataFrame:
    """Keys, round, `since` and `owed` of every verdict.

    It is since this night if it was not known, or known in an older round; owed, if it was asked for again in vain.
    """
    rows = ledger.rows().join(asked, on=[*judge.keys, "evidence"], how="semi")
    rounds = rows.filter(pl.col(value_of(judge)).is_not_null()).group_by(judge.keys).agg(pl.col("round").max())
    nothing = rounds.clear().with_columns(since=pl.lit(night, SINCE), owed=False)
    known = nothing if known is None else pl.concat([nothing, known], how="diagonal")
    joined = rounds.join(known.rename({"round": "known"}), on=judge.keys, how="left")
    fresh = pl.col("known").is_null() | (pl.col("round") > pl.col("known"))
    since = pl.when(fresh).then(pl.lit(night, SINCE)).otherwise(pl.col("since"))
    owed = pl.col("owed").fill_null(False)
    return joined.select(*judge.keys, "round", since=since, owed=owed).sort(judge.keys)


def _again(night: datetime) -> pl.Expr:
    """Whether a verdict was judged again that night."""
    return (pl.col("round") > 0) & (pl.col("since") == pl.lit(night, SINCE))


def _due(judge: Judge, ages: pl.DataFrame, schedule: Schedule, night: datetime) -> pl.DataFrame:
    """What is asked again: the prompts drawn tonight, what is past its age or owed, less what was judged tonight."""
    audited = drawn(pl.col("prompt_id"), schedule.audit_fraction, "night", night.isoformat())
    late = pl.col("owed")
    if schedule.max_age_days is not None:
        late |= pl.col("since") < pl.lit(night - timedelta(days=schedule.max_age_days), SINCE)
    leaning = judge.asks_about == "prompt"  # its verdicts lean on each other
    due = audited | (late.any().over("prompt_id") if leaning else late)
    return ages.filter(due & ~_again(night))


def _changes(judge: Judge, workspace: Workspace, shard: Shard, night: datetime) -> pl.DataFrame:
    """Each verdict of that night beside the one before it, as from `opinions`."""
    on, value = [*judge.keys, "evidence"], value_of(judge)
    ages = scan([_ages_file(judge, workspace, shard)])
    tonight = ages.filter(_again(night)).drop("since", "owed")
    rows = scan([workspace.file(verdicts_table(judge), shard)])
    rows = rows.join(wanted(judge, workspace, shard), on=on, how="semi").filter(pl.col(value).is_not_null())
    changes = opinions(judge, rows).join(tonight, on=[*judge.keys, "round"], how="semi")
    return changes.with_columns(round=pl.lit(0, pl.UInt16)).collect()  # one opinion each: whichever round it was


def _drift(judge: Judge, changes: pl.DataFrame, failed: int) -> Drift:
    counted = again(judge, changes)
    change = (changes.get_column("new") - changes.get_column("old")).abs().mean()
    return Drift(
        judge.name,
        changes.select(judge.keys).n_unique(),
        failed,
        counted.compared,
        round(counted.same / counted.compared, 4) if counted.compared else None,
        counted.flipped,
        round(float(change), 4) if isinstance(change, float) else None,
    )
