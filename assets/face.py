"""What the Dagster faces of all assets share: keys, partitions, and the shards that a run is about."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from pairwright.assets.store import Shard, Workspace
from pairwright.schemas.recipe import Recipe


def key(recipe: Recipe, *table: str) -> dg.AssetKey:
    """The asset of a table: the data set's name first."""
    return dg.AssetKey([recipe.dataset, *table])


def group(recipe: Recipe) -> str:
    """The data set's group in the UI, where only letters, digits and underscores may stand."""
    return recipe.dataset.replace("-", "_")


def partitions(recipe: Recipe) -> dg.StaticPartitionsDefinition:
    """One partition a shard."""
    return dg.StaticPartitionsDefinition([f"{shard:05d}" for shard in range(recipe.shards)])


def builder(recipe: Recipe) -> str:
    """The resource that a run over assets of the data set holds from its start to its end: the data set's lock."""
    return f"{group(recipe)}_builder"


def common(recipe: Recipe, *table: str, sharded: bool) -> dict[str, Any]:
    """Arguments of every asset. All share one backfill policy, since a mismatch would split a run."""
    arguments: dict[str, Any] = {
        "key": key(recipe, *table),
        "group_name": group(recipe),
        "kinds": {"polars", "parquet"},
        "tags": {"pairwright/dataset": recipe.dataset},
        "required_resource_keys": {builder(recipe)},
    }
    if sharded:
        arguments |= {"partitions_def": partitions(recipe), "backfill_policy": dg.BackfillPolicy.single_run()}
    return arguments


def shards(context: dg.AssetExecutionContext, workspace: Workspace) -> list[Shard]:
    """The shards that this run is about."""
    return [Shard(int(name), workspace.shards) for name in context.partition_keys]


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


def check_specs(recipe: Recipe, table: tuple[str, ...], checks: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """Specs of the checks `name → description`; those named watch_… only warn, the others stop what comes after."""
    return [
        dg.AssetCheckSpec(
            name, asset=key(recipe, *table), description=description, blocking=not name.startswith("watch_")
        )
        for name, description in checks.items()
    ]
