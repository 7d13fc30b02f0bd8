"""Judging: each shard's missing verdicts, and nothing else, go through a judge into its ledger."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from pairwright.assets import face, likelihood, route, views
from pairwright.assets.audit import audit_view, checks_of
from pairwright.assets.ledger import Ledger
from pairwright.assets.progress import tell
from pairwright.assets.replies import budget_of, desk
from pairwright.assets.route import domains_table, prompts_of
from pairwright.assets.store import Shard, Workspace, scan, version_of
from pairwright.judges.base import EVIDENCE, NOT_APPLICABLE, Batch, Judge
from pairwright.judges.llm.desk import Budget, Desk
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.ids import digest, fingerprint
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Comparisons

KEY = ["prompt_id", "response_id"]
BATCH = 16_384
"""Responses handed to a judge at a time: what a kill can cost of work that is free."""


LARGEST = 1e100
"""Greatest score: the squares of larger ones overflow when the jury puts judges on one scale."""


def verdicts_table(judge: Judge) -> str:
    """The folder of a judge's verdicts: named by what the judge is, never by what a recipe calls it."""
    kind = type(judge).model_fields["kind"].default
    return f"verdicts/{kind}-{judge.fingerprint}"


def wanted(judge: Judge, workspace: Workspace, shard: Shard) -> pl.LazyFrame:
    """What a judge is asked about in a shard: its keys and the evidence for each verdict, sorted."""
    responses = pl.scan_parquet(workspace.file("responses", shard), glob=False).select(KEY).collect()
    keys = judge.wanted(responses)
    prompts = prompts_of(workspace, shard, judge.router_of())
    parts = [pl.col(EVIDENCE[name]).fill_null("") for name in judge.reads] or [pl.lit("")]
    evidence = prompts.select("prompt_id", evidence=pl.concat_str(parts, separator=" ")).collect()
    if judge.whole_prompts and judge.keys == KEY:  # a verdict leans on all responses that were seen beside its own
        ids = responses.group_by("prompt_id").agg(pl.col("response_id").sort())
        lists = pl.Series("_list", [digest(*one) for one in ids.get_column("response_id")], pl.String)
        evidence = evidence.join(ids.select("prompt_id", lists), on="prompt_id", how="left")
        evidence = evidence.select("prompt_id", evidence=pl.concat_str("evidence", pl.col("_list").fill_null("")))
    return keys.join(evidence, on="prompt_id", how="left", maintain_order="left").lazy()


def judge_shard(judge: Judge, workspace: Workspace, shard: Shard, budget: Budget | None = None) -> int:
    """Compute the verdicts that a shard lacks; how many there were."""
    work = _work(judge, workspace, shard)
    with Ledger(workspace, verdicts_table(judge), shard, judge.table, [*judge.keys, "evidence"]) as ledger:
        if ledger.is_done(work):
            return 0
        missing = _missing(judge, ledger, workspace, shard)
        needs = list(judge.needs())
        done, cost = 0, 0.0
        with _desk(judge, workspace, shard, missing, budget) as desk:
            for batch in _batches(judge, missing, workspace, shard):
                if needs:
                    batch = batch._replace(likelihoods=likelihood.tables_for(needs, workspace, shard, batch.responses))
                for frame in _answers(judge, batch._replace(desk=desk)):
                    ledger.append(frame.join(missing, on=judge.keys, maintain_order="left"))
                    done += frame.select(judge.keys).n_unique()
                    cost += float(frame.get_column("cost_usd").sum()) if "cost_usd" in frame.columns else 0.0
                    tell(f"verdicts/{judge.name} {shard.index + 1}/{shard.count}", done, missing.height, cost)
        ledger.merge(work)
    return missing.height


def missing_work(judge: Judge, workspace: Workspace, shard: Shard) -> Iterator[Batch]:
    """What `judge_shard` would hand to the judge."""
    with Ledger(workspace, verdicts_table(judge), shard, judge.table, [*judge.keys, "evidence"]) as ledger:
        if not ledger.is_done(_work(judge, workspace, shard)):
            missing = _missing(judge, ledger, workspace, shard)
            with _desk(judge, workspace, shard, missing, None) as desk:
                yield from (one._replace(desk=desk) for one in _batches(judge, missing, workspace, shard))


def _missing(judge: Judge, ledger: Ledger, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    everything = wanted(judge, workspace, shard).collect()
    missing = ledger.missing(everything)
    if judge.whole_prompts and judge.keys == KEY:
        return everything.join(missing, on="prompt_id", how="semi", maintain_order="left")
    return missing


def _desk(
    judge: Judge, workspace: Workspace, shard: Shard, missing: pl.DataFrame, budget: Budget | None, apart: str = ""
) -> contextlib.AbstractContextManager[Desk | None]:
    if judge.calls_server and missing.height:
        return desk(judge, workspace, shard, missing, budget, apart)
    return contextlib.nullcontext()


def _work(judge: Judge, workspace: Workspace, shard: Shard) -> str:
    """Names what a judge is wanted to judge in a shard. A model's answers may be yet to be had, when a plan asks."""
    router = judge.router_of()
    answers = [need.table for need in judge.needs()] + ([domains_table(router)] if router else [])
    there = [path for table in answers if (path := workspace.file(table, shard)).exists()]
    given = [workspace.file(table, shard) for table in ("prompts", "responses")]
    return fingerprint([judge.fingerprint, len(answers), *(version_of(path) for path in [*given, *there])])


def _batches(judge: Judge, missing: pl.DataFrame, workspace: Workspace, shard: Shard) -> Iterator[Batch]:
    """Whole prompts at a time, about BATCH responses each."""
    if missing.is_empty():
        return
    prompts = prompts_of(workspace, shard, judge.router_of()).collect()
    responses = pl.read_parquet(workspace.file("responses", shard), glob=False)
    on = ["prompt_id"] if judge.whole_prompts else KEY
    responses = responses.join(missing.select(on).unique(), on=on, how="semi", maintain_order="left")
    counts = responses.group_by("prompt_id", maintain_order=True).len()
    piece = (pl.col("len").cum_sum() - pl.col("len")) // BATCH
    for ids in counts.select("prompt_id", piece=piece).partition_by("piece", maintain_order=True):
        yield Batch(
            prompts.join(ids, on="prompt_id", how="semi", maintain_order="left"),
            responses.join(ids, on="prompt_id", how="semi", maintain_order="left"),
            wanted=missing.join(ids, on="prompt_id", how="semi", maintain_order="left"),
        )


def _answers(judge: Judge, batch: Batch) -> Iterator[pl.DataFrame]:
    """The judge's rows, checked: each verdict that was asked for, none else, no number that is none."""
    asked = batch.wanted.select(judge.keys)
    answered = [asked.clear()]
    for frame in judge.judge(batch):
        if frame.is_empty():
            continue
        keys = frame.select(judge.keys)
        if keys.join(asked, on=judge.keys, how="anti").height:
            raise JudgeError(f"judge {judge.name} answered for a response that it was not asked about; report the bug")
        answered.append(keys)
        yield _finished(frame, judge)
    silent = asked.join(pl.concat(answered), on=judge.keys, how="anti")
    if silent.height:
        kind = str(type(judge).model_fields["kind"].default)
        nothing = silent.with_columns(criterion=pl.lit(kind), failure=pl.lit("the judge gave no answer"))
        yield _finished(nothing.with_columns(retry=pl.lit(True), **_no_value(judge)), judge)


def _no_value(judge: Judge) -> dict[str, pl.Expr]:
    nothing = {_value(judge): pl.lit(None, pl.Float64)}
    return nothing | {"per_order": pl.lit([], pl.List(pl.Float64))} if judge.table is Comparisons else nothing


def _value(judge: Judge) -> str:
    """The column with the verdict."""
    return "p_a" if judge.table is Comparisons else "score"


def _finished(frame: pl.DataFrame, judge: Judge) -> pl.DataFrame:
    columns, name = frame.columns, _value(judge)
    failure = pl.col("failure") if "failure" in columns else pl.lit(None, pl.String)
    retry = pl.col("retry") if "retry" in columns else pl.lit(False)
    value = pl.col(name).cast(pl.Float64)
    broken = value.is_not_null() & ~(value.abs() <= LARGEST)  # true of NaN, too
    frame = frame.with_columns(
        pl.when(~broken).then(value).alias(name),
        failure=pl.when(broken).then(pl.format(f"the score is {{}}, beyond ±{LARGEST:g}", value)).otherwise(failure),
        retry=pl.when(broken).then(pl.lit(False)).otherwise(retry),
        fingerprint=pl.lit(judge.fingerprint),
        round=pl.lit(0, pl.UInt16),
    )
    silent = pl.col(name).is_null() & pl.col("failure").is_null()
    return frame.with_columns(
        failure=pl.when(silent).then(pl.lit("the judge gave no score")).otherwise(pl.col("failure")),
        retry=pl.col("retry") | silent,
    )


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """One asset a judge: its verdicts."""
    return [_verdicts(recipe, judge) for judge in recipe.judges if isinstance(judge, Judge)]


def _verdicts(recipe: Recipe, judge: Judge) -> dg.AssetsDefinition:
    table = ("verdicts", judge.name)
    checks = {"watch_failures": "At most 5 % of the responses are without a score.", **checks_of(judge)}

    @dg.asset(
        **face.common(recipe, *table, sharded=True),
        deps=[
            face.key(recipe, "responses"),
            *{likelihood.key(recipe, need) for need in judge.needs()},
            *route.keys(recipe, judge.router_of()),
        ],
        code_version=judge.fingerprint,
        check_specs=face.check_specs(recipe, table, checks),
    )
    def verdicts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = Workspace.of(recipe)
        budget = budget_of(recipe, workspace)
        computed = sum(judge_shard(judge, workspace, shard, budget) for shard in face.shards(context, workspace))
        context.log.info(f"judge {judge.name}: {computed} new verdicts")
        files = [
            path for shard in workspace.each_shard() if (path := workspace.file(verdicts_table(judge), shard)).exists()
        ]
        view = views.kept_view(
            workspace,
            f"verdicts-{judge.name}",
            [version_of(path) for path in files],
            lambda: _view(judge, files) | audit_view(judge, workspace, files),
        )
        failures = int(view.pop("failures"))
        rows = int(view.pop("rows"))
        metadata = {"dagster/row_count": rows, "new verdicts": computed, "fingerprint": judge.fingerprint}
        few = failures <= 0.05 * rows
        found = {"watch_failures": (few, f"{failures} of {rows} rows without a score")}
        for name in checks_of(judge):
            passed, _, text = view.pop(name, "yes|not computed").partition("|")
            found[name] = (passed == "yes", text)
        return face.result(metadata | {name: dg.MarkdownMetadataValue(text) for name, text in view.items()}, found)

    return verdicts


def _view(judge: Judge, files: list[Path]) -> dict[str, str]:
    """Counts, the spread of the scores, and the commonest failures."""
    rows = scan(files)
    scores = rows.select(score=_value(judge), failure="failure").collect()
    scores = scores.filter(pl.col("failure").is_null() | (pl.col("failure") != NOT_APPLICABLE))
    view = {"rows": str(scores.height), "failures": str(scores.get_column("failure").count())}
    numbers = scores.get_column("score").drop_nulls()
    if numbers.len():
        view["scores"] = views.histogram(numbers.to_list(), judge.name)
    failures = scores.get_column("failure").drop_nulls().value_counts(sort=True)
    if failures.height:
        view["commonest failures"] = views.table(failures)
    return view
