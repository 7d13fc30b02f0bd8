"""What the Dagster faces of all assets share: keys, partitions, and the shards that a run is about."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from pairwright.assets.releasing.versions import FailedCheck
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.pipelines.dagster_assets.described import column_schema
from pairwright.pipelines.dagster_assets.lineage import reads
from pairwright.pipelines.dagster_assets.repair import after_damage
from pairwright.pipelines.names import group, partition
from pairwright.schemas.dataframely import dy
from pairwright.schemas.recipe import Recipe


def key(recipe: Recipe, *table: str) -> dg.AssetKey:
    """The asset of a table: the data set's name first."""
    return dg.AssetKey([recipe.dataset, *table])


def partitions(recipe: Recipe) -> dg.StaticPartitionsDefinition:
    """One partition a shard."""
    return dg.StaticPartitionsDefinition([partition(shard) for shard in range(recipe.shards)])


def builder(recipe: Recipe) -> str:
    """The resource that a run over assets of the data set holds from its start to its end: the data set's lock."""
    return f"{group(recipe)}_builder"


def arguments(
    recipe: Recipe,
    *table: str,
    sharded: bool,
    schema: type[dy.Schema] | None = None,
    after: Iterable[dg.AssetKey] = (),
) -> dict[str, Any]:
    """Arguments of every asset. All share one backfill policy, since a mismatch would split a run.

    It comes after the assets that its stages read, and after those that are named besides.
    """
    arguments: dict[str, Any] = {
        "key": key(recipe, *table),
        "group_name": group(recipe),
        "kinds": {"polars", "parquet"},
        "tags": {"pairwright/dataset": recipe.dataset},
        "hooks": {after_damage},
        "required_resource_keys": {builder(recipe)},
        "deps": [*(key(recipe, *one) for one in reads(recipe, *table)), *after],
    }
    if schema is not None:
        arguments["metadata"] = {"dagster/column_schema": column_schema(schema)}
    if sharded:
        arguments |= {"partitions_def": partitions(recipe), "backfill_policy": dg.BackfillPolicy.single_run()}
    return arguments


def shards(context: dg.AssetExecutionContext, workspace: Workspace) -> list[Shard]:
    """The shards that this run is about."""
    return [Shard(int(name), workspace.shards) for name in context.partition_keys]


def files_made(context: dg.AssetExecutionContext, workspace: Workspace, table: str) -> list[Path]:
    """A table's files of the shards that this run is about; notes with each partition how many rows its file has.

    What an asset reports is of these alone: other partitions may not have been made yet.
    """
    files = []
    for shard in shards(context, workspace):
        path = workspace.file(table, shard)
        rows = {"dagster/partition_row_count": pq.read_metadata(path).num_rows}
        context.add_asset_metadata(rows, partition_key=partition(shard.index))
        files.append(path)
    return files


def result(metadata: Mapping[str, Any], checks: Mapping[str, tuple[bool, str]] | None = None) -> dg.MaterializeResult:
    """What an asset reports: metadata for the UI, and its checks as name → (passed, what was found)."""
    return dg.MaterializeResult(
        metadata=dict(metadata),
        check_results=[
            dg.AssetCheckResult(
                check_name=name,
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN if name.startswith("watch_") else dg.AssetCheckSeverity.ERROR,
                metadata={"found": found},
            )
            for name, (passed, found) in (checks or {}).items()
        ],
    )


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[FailedCheck]:
    """The checks that a run failed, in the order in which it came to them."""
    found = []
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        event = entry.dagster_event.asset_check_evaluation_data if entry.dagster_event else None
        if event is not None and not event.passed:
            told = event.metadata.get("found")
            text = str(told.value) if told else event.description or ""
            stops = event.severity is dg.AssetCheckSeverity.ERROR
            found.append(FailedCheck("/".join(event.asset_key.path[1:]), event.check_name, text, stops))
    return found


def check_specs(recipe: Recipe, table: tuple[str, ...], checks: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """Specs of the checks `name → description`; those named watch_… only warn, the others stop what comes after."""
    return [
        dg.AssetCheckSpec(
            name, asset=key(recipe, *table), description=description, blocking=not name.startswith("watch_")
        )
        for name, description in checks.items()
    ]
