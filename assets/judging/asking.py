"""Asking a judge: what a shard lacks goes to it in whole prompts, and its answers are checked before they are kept."""

import contextlib
from collections.abc import Iterator

import polars as pl

from pairwright.assets.judging import likelihood
from pairwright.assets.judging.domains import prompts_of, router_of
from pairwright.assets.judging.unreadable import is_unread, reasons_for, unreadable
from pairwright.assets.judging.verdicts import KEY, asked_twice, value_of, verdicts_basis, verdicts_table
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.media import FOLDER
from pairwright.assets.storage.reply_ledger import open_replies
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan
from pairwright.judges.base import Batch, Judge
from pairwright.models.serving.reply_store import Budget, ReplyStore
from pairwright.models.serving.under_way import UnderWayError
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.row_order import same_rows

BATCH = 16_384
"""Responses handed to a judge at a time: what a kill can cost of work that is free."""
LARGEST = 1e100
"""Greatest score: the squares of larger ones overflow when the jury puts judges on one scale."""
BEYOND = "the score is "
"""How the failure of a score begins that is no number, or one past LARGEST."""
SECOND = "-again"
"""Ending of the folder of replies to second opinions: kept apart, they answer no first question."""


def ledger_of(judge: Judge, workspace: Workspace, shard: Shard) -> Ledger:
    """The ledger of a judge's verdicts on a shard."""
    return Ledger(workspace, verdicts_table(judge), shard, judge.table, [*judge.keys, "evidence"])


def first_round(judge: Judge, ledger: Ledger, asked: pl.DataFrame) -> pl.DataFrame:
    """The rows of `asked` that have no verdict, as round 0; of a judge of whole prompts, all rows of their prompts."""
    missing = ledger.missing(asked)
    if judge.asks_about == "prompt":
        missing = asked.join(missing, on="prompt_id", how="semi", maintain_order="left")
    return missing.with_columns(round=pl.lit(0, pl.UInt16))


def second_round(judge: Judge, ledger: Ledger, asked: pl.DataFrame, planned: bool = False) -> pl.DataFrame:
    """The rows of `asked` that are drawn for a second opinion and have none, as round 1.

    Where the first answer failed, there is nothing to compare with. A plan takes it that all first answers come.
    """
    due = asked.filter(asked_twice(judge)).with_columns(round=pl.lit(1, pl.UInt16))
    if due.is_empty():
        return due
    rows = ledger.rows().select(*judge.keys, "evidence", "round", "retry")
    done = rows.filter(pl.col("round") > 0)
    due = due.join(done, on=[*judge.keys, "evidence"], how="anti", maintain_order="left")
    if planned:
        return due
    together = ["prompt_id", "evidence"] if judge.asks_about == "prompt" else [*judge.keys, "evidence"]
    return due.join(rows.filter("retry"), on=together, how="anti", maintain_order="left")


def answers(
    judge: Judge, asked: pl.DataFrame, workspace: Workspace, shard: Shard, budget: Budget | None, apart: str = ""
) -> Iterator[pl.DataFrame]:
    """Rows of the judge's table for `asked` (its keys, evidence and round), as they come in."""
    needs, inputs = list(judge.needs()), verdicts_basis(judge).reading(workspace, shard)
    under_way: UnderWayError | None = None
    unread, asked = asked.filter(is_unread()), asked.filter(~is_unread())
    if unread.height:
        yield _unread(judge, unread, inputs, shard)
    media = workspace.root / FOLDER
    with _open_replies(judge, asked, workspace, shard, budget, apart) as one:
        for batch in batches(judge, asked, inputs, shard):
            if needs:
                batch = batch._replace(likelihoods=likelihood.tables_for(needs, inputs, shard, batch.responses))
            try:
                for frame in _checked(judge, batch._replace(replies=one, media=media)):
                    yield _with_question(frame, batch.wanted, judge.keys)
            except UnderWayError as some:  # the next prompts' calls are sent meanwhile
                under_way = some.with_those_of(under_way)
        if under_way is not None:
            raise under_way


def _with_question(frame: pl.DataFrame, asked: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Verdicts with what else is known of the question: its evidence and round."""
    rest = asked.drop(keys)
    if same_rows(frame, asked, keys) and not set(rest.columns) & set(frame.columns):
        return frame.hstack(rest)
    return frame.join(asked, on=keys, maintain_order="left")


def cost_of(frame: pl.DataFrame) -> float:
    """USD that a judge's rows came to; 0 for one that asks no server."""
    return float(frame.get_column("cost_usd").sum()) if "cost_usd" in frame.columns else 0.0


def planned(judge: Judge, asked: pl.DataFrame, workspace: Workspace, shard: Shard, apart: str = "") -> Iterator[Batch]:
    """What `answers` would hand to the judge: nothing that it cannot read."""
    asked = asked.filter(~is_unread())
    with _open_replies(judge, asked, workspace, shard, None, apart) as one:
        inputs = verdicts_basis(judge).reading(workspace, shard)
        yield from (batch._replace(replies=one) for batch in batches(judge, asked, inputs, shard))


def _open_replies(
    judge: Judge, asked: pl.DataFrame, workspace: Workspace, shard: Shard, budget: Budget | None, apart: str
) -> contextlib.AbstractContextManager[ReplyStore | None]:
    if judge.calls_server and asked.height:
        return open_replies(judge, workspace, shard, asked, budget, apart, verdicts_table(judge))
    return contextlib.nullcontext()


def batches(judge: Judge, asked: pl.DataFrame, workspace: Workspace, shard: Shard) -> Iterator[Batch]:
    """Whole prompts at a time, about BATCH responses each."""
    if asked.is_empty():
        return
    prompts = prompts_of(workspace, shard, router_of(judge)).collect()
    responses = read_table(workspace.file("responses", shard))
    on = KEY if judge.asks_about == "response" else ["prompt_id"]
    if judge.keys != KEY or not same_rows(responses, asked, KEY):
        responses = responses.join(asked.select(on).unique(), on=on, how="semi", maintain_order="left")
    counts = responses.group_by("prompt_id", maintain_order=True).len()
    pieces = counts.select("prompt_id", _piece=(pl.col("len").cum_sum() - pl.col("len")) // BATCH)
    tables = (prompts, responses, asked)
    narrow = [one.select("prompt_id").join(pieces, on="prompt_id", how="left", maintain_order="left") for one in tables]
    for number in pieces.get_column("_piece").unique(maintain_order=True):
        some = [one.filter(of.get_column("_piece") == number) for one, of in zip(tables, narrow, strict=True)]
        yield Batch(some[0], some[1], wanted=some[2])


def _checked(judge: Judge, batch: Batch) -> Iterator[pl.DataFrame]:
    """The judge's rows: each verdict that was asked for, none else, no number that is none."""
    asked = batch.wanted.select(judge.keys)
    answered, in_full = [asked.clear()], False
    for frame in judge.judge(batch):
        if frame.is_empty():
            continue
        keys = frame.select(judge.keys)
        whole = same_rows(keys, asked, judge.keys)
        if not whole and keys.join(asked, on=judge.keys, how="anti").height:
            raise JudgeError(f"judge {judge.name} answered for a response that it was not asked about; report the bug")
        answered.append(keys)
        in_full = in_full or whole
        yield _finished(frame, judge)
    silent = asked.clear() if in_full else asked.join(pl.concat(answered), on=judge.keys, how="anti")
    if silent.height:
        kind = str(type(judge).model_fields["kind"].default)
        nothing = silent.with_columns(criterion=pl.lit(kind), failure=pl.lit("the judge gave no answer"))
        yield _finished(nothing.with_columns(retry=pl.lit(True), **_no_value(judge)), judge)


def _unread(judge: Judge, asked: pl.DataFrame, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """Rows that say why these verdicts cannot be given: known before anything is asked, and no accident."""
    prompts = scan([workspace.file("prompts", shard)])
    unread = unreadable(judge, prompts, scan([workspace.file("responses", shard)]))
    kind = str(type(judge).model_fields["kind"].default)
    told = reasons_for(asked, unread).with_columns(criterion=pl.lit(kind), retry=pl.lit(False), **_no_value(judge))
    return _finished(told.rename({"unread": "failure"}), judge)


def _no_value(judge: Judge) -> dict[str, pl.Expr]:
    nothing = {value_of(judge): pl.lit(None, pl.Float64)}
    return nothing | {"per_order": pl.lit([], pl.List(pl.Float64))} if judge.asks_about == "pair" else nothing


def _finished(frame: pl.DataFrame, judge: Judge) -> pl.DataFrame:
    columns, name = frame.columns, value_of(judge)
    failure = pl.col("failure") if "failure" in columns else pl.lit(None, pl.String)
    retry = pl.col("retry") if "retry" in columns else pl.lit(False)
    value = pl.col(name).cast(pl.Float64)
    broken = value.is_not_null() & ~(value.abs() <= LARGEST)  # true of NaN, too
    frame = frame.with_columns(
        pl.when(~broken).then(value).alias(name),
        failure=pl.when(broken).then(pl.format(f"{BEYOND}{{}}, beyond ±{LARGEST:g}", value)).otherwise(failure),
        retry=pl.when(broken).then(pl.lit(False)).otherwise(retry),
        fingerprint=pl.lit(judge.fingerprint),
    )
    silent = pl.col(name).is_null() & pl.col("failure").is_null()
    return frame.with_columns(
        failure=pl.when(silent).then(pl.lit("the judge gave no score")).otherwise(pl.col("failure")),
        retry=pl.col("retry") | silent,
    )
