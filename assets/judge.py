"""Judging: each shard's missing verdicts, and nothing else, go through a judge into its ledger."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl

from pairwright.assets import face, likelihood, views
from pairwright.assets.ledger import Ledger
from pairwright.assets.progress import tell
from pairwright.assets.store import Shard, Workspace, scan, version_of
from pairwright.judges.base import EVIDENCE, Batch, Judge
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Scores

KEY = ["prompt_id", "response_id"]
WANTED = [*KEY, "evidence"]
"""What a verdict is asked for by, beside the judge's fingerprint."""
BATCH = 16_384
"""Responses handed to a judge at a time: what a kill can cost of work that is free."""


LARGEST = 1e100
"""Greatest score: the squares of larger ones overflow when the jury puts judges on one scale."""


def verdicts_table(judge: Judge) -> str:
    """The folder of a judge's verdicts: named by what the judge is, never by what a recipe calls it."""
    kind = type(judge).model_fields["kind"].default
    return f"verdicts/{kind}-{judge.fingerprint}"


def wanted(judge: Judge, workspace: Workspace, shard: Shard) -> pl.LazyFrame:
    """What a judge is asked about: WANTED for each response of a shard, in the order of the responses."""
    responses = pl.scan_parquet(workspace.file("responses", shard), glob=False).select(KEY)
    if not judge.reads:
        return responses.with_columns(evidence=pl.lit(""))
    evidence = pl.concat_str([pl.col(EVIDENCE[name]).fill_null("") for name in judge.reads], separator=" ")
    prompts = pl.scan_parquet(workspace.file("prompts", shard), glob=False).select("prompt_id", evidence=evidence)
    return responses.join(prompts, on="prompt_id", how="left", maintain_order="left")


def judge_shard(judge: Judge, workspace: Workspace, shard: Shard) -> int:
    """Compute the verdicts that a shard lacks; how many there were."""
    paths = [workspace.file(table, shard) for table in ("prompts", "responses")]
    work = _work(judge, workspace, shard)
    with Ledger(workspace, verdicts_table(judge), shard, Scores, WANTED) as ledger:
        if ledger.is_done(work):
            return 0
        missing = ledger.missing(wanted(judge, workspace, shard).collect())
        needs = list(judge.needs())
        done = 0
        for batch in _batches(missing, paths[0], paths[1]):
            if needs:
                batch = batch._replace(likelihoods=likelihood.tables_for(needs, workspace, shard, batch.responses))
            for frame in _answers(judge, batch):
                ledger.append(frame.join(missing, on=KEY, maintain_order="left"))
            done += batch.responses.height
            tell(f"verdicts/{judge.name} {shard.index + 1}/{shard.count}", done, missing.height)
        ledger.merge(work)
    return missing.height


def missing_work(judge: Judge, workspace: Workspace, shard: Shard) -> Iterator[Batch]:
    """What `judge_shard` would hand to the judge."""
    prompts, responses = (workspace.file(table, shard) for table in ("prompts", "responses"))
    with Ledger(workspace, verdicts_table(judge), shard, Scores, WANTED) as ledger:
        if not ledger.is_done(_work(judge, workspace, shard)):
            missing = ledger.missing(wanted(judge, workspace, shard).collect())
            yield from _batches(missing, prompts, responses)


def _work(judge: Judge, workspace: Workspace, shard: Shard) -> str:
    """Names what a judge is wanted to judge in a shard."""
    tables = ("prompts", "responses", *(need.table for need in judge.needs()))
    return fingerprint([judge.fingerprint, *(_version(workspace.file(table, shard)) for table in tables)])


def _version(path: Path) -> str:
    """The version of an input; that of likelihoods which are yet to be made, when a plan asks, is none."""
    return version_of(path) if path.exists() or "likelihoods" not in path.parts else ""


def _batches(missing: pl.DataFrame, prompts_path: Path, responses_path: Path) -> Iterator[Batch]:
    """Whole prompts at a time, about BATCH responses each."""
    if missing.is_empty():
        return
    prompts = pl.read_parquet(prompts_path, glob=False)
    responses = pl.read_parquet(responses_path, glob=False)
    responses = responses.join(missing, on=KEY, how="semi", maintain_order="left")
    counts = responses.group_by("prompt_id", maintain_order=True).len()
    piece = (pl.col("len").cum_sum() - pl.col("len")) // BATCH
    for ids in counts.select("prompt_id", piece=piece).partition_by("piece", maintain_order=True):
        yield Batch(
            prompts.join(ids, on="prompt_id", how="semi", maintain_order="left"),
            responses.join(ids, on="prompt_id", how="semi", maintain_order="left"),
        )


def _answers(judge: Judge, batch: Batch) -> Iterator[pl.DataFrame]:
    """The judge's rows, checked: each response that was asked for, none else, no number that is none."""
    asked = batch.responses.select(KEY)
    answered = asked.clear()
    for frame in judge.judge(batch):
        if frame.is_empty():
            continue
        keys = frame.select(KEY)
        if keys.join(asked, on=KEY, how="anti").height:
            raise JudgeError(f"judge {judge.name} answered for a response that it was not asked about; report the bug")
        answered = pl.concat([answered, keys])
        yield _finished(frame, judge)
    silent = asked.join(answered, on=KEY, how="anti")
    if silent.height:
        kind = str(type(judge).model_fields["kind"].default)
        nothing = silent.with_columns(criterion=pl.lit(kind), score=pl.lit(None, pl.Float64))
        yield _finished(nothing.with_columns(failure=pl.lit("the judge gave no answer"), retry=pl.lit(True)), judge)


def _finished(frame: pl.DataFrame, judge: Judge) -> pl.DataFrame:
    columns = frame.columns
    failure = pl.col("failure") if "failure" in columns else pl.lit(None, pl.String)
    retry = pl.col("retry") if "retry" in columns else pl.lit(False)
    score = pl.col("score").cast(pl.Float64)
    broken = score.is_not_null() & ~(score.abs() <= LARGEST)  # true of NaN, too
    frame = frame.with_columns(
        score=pl.when(~broken).then(score),
        failure=pl.when(broken).then(pl.format(f"the score is {{}}, beyond ±{LARGEST:g}", score)).otherwise(failure),
        retry=pl.when(broken).then(pl.lit(False)).otherwise(retry),
        fingerprint=pl.lit(judge.fingerprint),
        round=pl.lit(0, pl.UInt16),
    )
    silent = pl.col("score").is_null() & pl.col("failure").is_null()
    return frame.with_columns(
        failure=pl.when(silent).then(pl.lit("the judge gave no score")).otherwise(pl.col("failure")),
        retry=pl.col("retry") | silent,
    )


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """One asset a judge: its verdicts."""
    return [_verdicts(recipe, judge) for judge in recipe.judges if isinstance(judge, Judge)]


def _verdicts(recipe: Recipe, judge: Judge) -> dg.AssetsDefinition:
    table = ("verdicts", judge.name)
    checks = {"watch_failures": "At most 5 % of the responses are without a score."}

    @dg.asset(
        **face.common(recipe, *table, sharded=True),
        deps=[face.key(recipe, "responses"), *{likelihood.key(recipe, need) for need in judge.needs()}],
        code_version=judge.fingerprint,
        check_specs=face.check_specs(recipe, table, checks),
    )
    def verdicts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = Workspace.of(recipe)
        computed = sum(judge_shard(judge, workspace, shard) for shard in face.shards(context, workspace))
        context.log.info(f"judge {judge.name}: {computed} new verdicts")
        files = [
            path for shard in workspace.each_shard() if (path := workspace.file(verdicts_table(judge), shard)).exists()
        ]
        view = views.kept_view(
            workspace,
            f"verdicts-{judge.name}",
            [version_of(path) for path in files],
            lambda: _view(judge, files),
        )
        failures = int(view.pop("failures"))
        rows = int(view.pop("rows"))
        metadata = {"dagster/row_count": rows, "new verdicts": computed, "fingerprint": judge.fingerprint}
        few = failures <= 0.05 * rows
        found = {"watch_failures": (few, f"{failures} of {rows} rows without a score")}
        return face.result(metadata | {name: dg.MarkdownMetadataValue(text) for name, text in view.items()}, found)

    return verdicts


def _view(judge: Judge, files: list[Path]) -> dict[str, str]:
    """Counts, the spread of the scores, and the commonest failures."""
    rows = scan(files)
    scores = rows.select("score", "failure").collect()
    view = {"rows": str(scores.height), "failures": str(scores.get_column("failure").count())}
    numbers = scores.get_column("score").drop_nulls()
    if numbers.len():
        view["scores"] = views.histogram(numbers.to_list(), judge.name)
    failures = scores.get_column("failure").drop_nulls().value_counts(sort=True)
    if failures.height:
        view["commonest failures"] = views.table(failures)
    return view
