"""Judging: each shard's missing verdicts, and nothing else, go through a judge into its ledger."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.display.progress import tell
from pairwright.assets.judging.asking import SECOND, answers, cost_of, first_round, ledger_of, planned, second_round
from pairwright.assets.judging.verdicts import value_of, verdicts_stage, verdicts_table, wanted
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.judges.base import NOT_APPLICABLE, Batch, Judge
from pairwright.models.serving.reply_store import Budget
from pairwright.schemas.errors import StoreError

UNFINISHED = ""
"""The name of work that the next build takes up again."""


def judge_shard(judge: Judge, workspace: Workspace, shard: Shard, budget: Budget | None = None) -> int:
    """Compute the verdicts that a shard lacks, and the second opinions that are drawn; how many there were.

    Raises StoreError where the judge goes by the scores of another that has none yet.
    """
    guide = judge.guide
    if guide is not None and not workspace.file(verdicts_table(guide), shard).exists():
        raise StoreError(f"judge {judge.name} goes by the scores of {guide.name}, which has none yet; build that first")
    stage = verdicts_stage(judge)
    work = stage.stamp(workspace, shard)
    with ledger_of(judge, workspace, shard) as ledger:
        if ledger.is_done(work):
            return 0
        asked = wanted(judge, stage.reading(workspace, shard), shard).collect()
        missing = first_round(judge, ledger, asked)
        _ask(judge, ledger, missing, workspace, shard, budget)
        again = second_round(judge, ledger, asked)
        lost = _ask(judge, ledger, again, workspace, shard, budget, SECOND)
        ledger.merge(UNFINISHED if lost else work)
    return missing.height + again.height


def _ask(
    judge: Judge,
    ledger: Ledger,
    asked: pl.DataFrame,
    workspace: Workspace,
    shard: Shard,
    budget: Budget | None,
    apart: str = "",
) -> int:
    """Ask, and keep what is answered; how many rows were lost. A second opinion that fails leaves no row."""
    done, lost, cost = set[int](), 0, 0.0  # a verdict of several criteria may come in several pieces
    stage = f"verdicts/{judge.name}{apart} {shard.index + 1}/{shard.count}"
    for frame in answers(judge, asked, workspace, shard, budget, apart):
        kept = frame.filter(~pl.col("retry")) if apart else frame
        lost += frame.height - kept.height
        if kept.height:
            ledger.append(kept)
        done.update(frame.select(judge.keys).hash_rows().to_list())
        cost += cost_of(frame)
        tell(stage, len(done), asked.height, cost)
    return lost


def missing_work(judge: Judge, workspace: Workspace, shard: Shard) -> Iterator[Batch]:
    """What `judge_shard` would hand to the judge."""
    with ledger_of(judge, workspace, shard) as ledger:
        stage = verdicts_stage(judge)
        if ledger.is_done(stage.stamp(workspace, shard)):
            return
        asked = wanted(judge, stage.reading(workspace, shard), shard).collect()
        yield from planned(judge, first_round(judge, ledger, asked), workspace, shard)
        yield from planned(judge, second_round(judge, ledger, asked, planned=True), workspace, shard, SECOND)


def verdicts_view(judge: Judge, files: list[Path]) -> dict[str, str]:
    """Counts, the spread of the scores, and the commonest failures."""
    rows = scan(files)
    scores = rows.select(score=value_of(judge), failure="failure").collect()
    scores = scores.filter(pl.col("failure").is_null() | (pl.col("failure") != NOT_APPLICABLE))
    view = {"rows": str(scores.height), "failures": str(scores.get_column("failure").count())}
    numbers = scores.get_column("score").drop_nulls()
    if numbers.len():
        view["scores"] = views.histogram(numbers, judge.name)
    return view | views.commonest(scores.get_column("failure"))
