"""The Dagster asset of a stage: keys, columns, checks and numbers follow from its declaration."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from pairwright.assets.stages.run import Made, Run
from pairwright.assets.stages.stage import Paid, Stage
from pairwright.assets.stages.view import View
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.described import column_schema, description
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
    if stage.schema is not None:
        arguments["metadata"] = {"dagster/column_schema": column_schema(stage.schema, stage.extra)}
    if isinstance(stage.code, str):
        arguments["code_version"] = stage.code

    @dg.asset(**arguments)
    @in_run_log
    def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = Workspace.of(recipe)
        shards = [] if stage.fit else common.shards(context, workspace)
        done = bring_up(recipe, stages, workspace, shards)
        context.log.info(f"{stage.name}: {done.rows:,} new rows in {done.seconds:,.1f} s")
        view = stage.seen(workspace, shards)
        for shard in shards:
            rows = {"dagster/partition_row_count": pq.read_metadata(stage.file(workspace, shard)).num_rows}
            context.add_asset_metadata(rows, partition_key=partition(shard.index))
        return common.result(metadata(stage, done, view), stage.checks, view.findings)

    return made


def bring_up(recipe: Recipe, stages: Sequence[Stage], workspace: Workspace, shards: Sequence[Shard]) -> Made:
    """Bring the last of some stages up to date, of some shards; those before it, of all, as it needs them so."""
    last = stages[-1]
    run = Run(budget_of(recipe, workspace) if isinstance(last, Paid) else None)
    total = Made()
    if not last.at_once:
        for stage in stages[:-1]:
            total += stage.bring_up(workspace, run=run)._replace(rows=0)
    return total + last.bring_up(workspace, None if last.fit else shards, run)


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
