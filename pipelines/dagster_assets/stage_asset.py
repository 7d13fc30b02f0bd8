"""The Dagster asset of a stage: keys, columns, checks and numbers follow from its declaration."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from pairwright.assets.stages.run import Made
from pairwright.assets.stages.stage import Paid, Stage
from pairwright.assets.stages.view import ChecksError, View
from pairwright.assets.storage.store import version_of
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.described import code_of, column_schema, description
from pairwright.pipelines.dagster_assets.lineage import asset_path
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.pipelines.names import partition
from pairwright.schemas.recipe import Recipe


def stage_asset(recipe: Recipe, stages: Sequence[Stage], after: Sequence[dg.AssetKey] = ()) -> dg.AssetsDefinition:
    """The asset of the last of some stages, which makes the others on its way: fits, and what they are made from."""
    stage = stages[-1]
    path = asset_path(stage.name)
    arguments = common.arguments(recipe, *path, sharded=not stage.fit, after=after)
    arguments |= {"description": description(stage), "check_specs": common.check_specs(recipe, path, stage.checks)}
    arguments["metadata"] = {"dagster/code_references": code_of(stage)}
    if stage.schema is not None:
        arguments["metadata"]["dagster/column_schema"] = column_schema(stage.schema, stage.extra)
    arguments["code_version"] = str(stage.code)

    @dg.asset(**arguments)
    @in_run_log
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = common.workspace(context, recipe)
        shards = [] if stage.fit else common.shards(context, workspace)
        run = common.coordinator(context, recipe)
        try:
            done = run.bring_up(stages, shards)
        except ChecksError as error:
            common.log_checks(context, common.key(recipe, *asset_path(stage.name)), stage.checks, error.findings)
            raise
        context.log.info(f"{stage.name}: {done.rows:,} new rows in {done.seconds:,.1f} s")
        view = stage.seen(workspace, shards)
        for shard in shards:
            path = stage.file(workspace, shard)
            told = {"dagster/partition_row_count": pq.read_metadata(path).num_rows, "version": version_of(path)}
            context.add_asset_metadata(told, partition_key=partition(shard.index))
        content = stage.versions(workspace, shards)
        return common.result(metadata(stage, done, view), stage.checks, view.findings, content)

    return made


def metadata(stage: Stage, made: Made, view: View) -> dict[str, Any]:
    """What the UI shows of a table: numbers that it plots over the runs, and pictures."""
    numbers: dict[str, Any] = dict(view.numbers)
    if "rows" in numbers:
        numbers["dagster/row_count"] = numbers.pop("rows")
    numbers |= {"new rows": made.rows, "seconds": round(made.seconds, 3)}
    if isinstance(stage, Paid):
        numbers |= {"failures": made.failures, "calls": made.calls, "cost in USD": round(made.cost_usd, 6)}
        numbers["fingerprint"] = str(stage.code)
    return numbers | {name: dg.MarkdownMetadataValue(text) for name, text in view.pictures.items()}
