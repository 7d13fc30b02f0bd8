"""Judging: each shard's missing verdicts, and nothing else, go through a judge into its ledger."""

from collections.abc import Iterator

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.judging.asking import SECOND, answers, cost_of, first_round, ledger_of, planned, second_round
from pairwright.assets.judging.unreadable import is_unread, reasons_for, unreadable
from pairwright.assets.judging.verdicts import asked_twice, questions, verdicts_basis, verdicts_table, wanted
from pairwright.assets.stages.stage import Expected
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan
from pairwright.judges.base import Batch, Judge
from pairwright.models.estimate import Estimate
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
    stage = verdicts_basis(judge)
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
        stage = verdicts_basis(judge)
        if ledger.is_done(stage.stamp(workspace, shard)):
            return
        asked = wanted(judge, stage.reading(workspace, shard), shard).collect()
        yield from planned(judge, first_round(judge, ledger, asked), workspace, shard)
        yield from planned(judge, second_round(judge, ledger, asked, planned=True), workspace, shard, SECOND)


def estimate(judge: Judge, workspace: Workspace, expected: Expected | None = None) -> Estimate:
    """What the verdicts that are missing would take, without spending anything.

    `expected` tells the responses of a shard where some are still to be written.
    """
    if expected:
        pieces = (_expected(judge, workspace, shard, expected(shard)) for shard in workspace.each_shard())
        return sum(pieces, Estimate())
    work = (batch for shard in workspace.each_shard() for batch in missing_work(judge, workspace, shard))
    unread = sum(_unreadable(judge, workspace, shard) for shard in workspace.each_shard())
    return sum((judge.estimate(batch) for batch in work), Estimate(unreadable=unread))


def _unreadable(judge: Judge, workspace: Workspace, shard: Shard) -> int:
    """How many verdicts a judge cannot give in a shard."""
    prompts, responses = (scan([workspace.file(table, shard)]) for table in ("prompts", "responses"))
    if unreadable(judge, prompts, responses) is None:
        return 0
    asked = wanted(judge, verdicts_basis(judge).reading(workspace, shard), shard)
    return int(asked.filter(is_unread()).select(pl.len()).collect().item())


def _expected(judge: Judge, workspace: Workspace, shard: Shard, responses: pl.DataFrame) -> Estimate:
    """For responses of which some are still to be sampled: as many and as long as they are likely to be."""
    due = questions(judge, responses.select("prompt_id", "response_id"))
    path = workspace.file(verdicts_table(judge), shard)
    if path.exists() and judge.asks_about != "prompt":
        due = due.join(read_table(path, columns=judge.keys), on=judge.keys, how="anti")
    prompts = read_table(workspace.file("prompts", shard))
    told = reasons_for(due, unreadable(judge, prompts.lazy(), responses.lazy()))
    due = told.filter(pl.col("unread").is_null()).drop("unread")
    total = Estimate(unreadable=told.height - due.height)
    on = judge.keys if judge.asks_about == "response" else ["prompt_id"]
    responses = responses.join(due.select(on).unique(), on=on, how="semi", maintain_order="left")
    for asked in (due, due.filter(asked_twice(judge))):
        total = total + judge.estimate(Batch(prompts, responses, wanted=asked)) if asked.height else total
    return total
