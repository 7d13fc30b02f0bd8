"""What the Dagster faces of all assets share: keys, partitions, and the shards that a run is about."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from pairwright.assets.flow import flow
from pairwright.assets.releasing.versions import FailedCheck
from pairwright.assets.stages.view import Check, Finding
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.pipelines.coordinator import Coordinator
from pairwright.pipelines.dagster_assets.described import code_references
from pairwright.pipelines.dagster_assets.lineage import asset_path, reads
from pairwright.pipelines.dagster_assets.repair import after_damage
from pairwright.pipelines.names import group, partition
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe


def key(recipe: Recipe, *table: str) -> dg.AssetKey:
    """The asset of a table: the data set's name first."""
    return dg.AssetKey([recipe.dataset, *table])


def partitions(recipe: Recipe) -> dg.StaticPartitionsDefinition:
    """One partition a shard."""
    return dg.StaticPartitionsDefinition([partition(shard) for shard in range(recipe.shards)])


def builder(recipe: Recipe) -> str:
    """The resource that a run holds from its start to its end: the lock of the data set, and the run's coordinator."""
    return f"{group(recipe)}_builder"


def arguments(
    recipe: Recipe,
    *table: str,
    sharded: bool,
    after: Iterable[dg.AssetKey] = (),
    code: Sequence[Callable[..., Any]] = (),
) -> dict[str, Any]:
    """Arguments of every asset. All share one backfill policy, since a mismatch would split a run.

    It comes after the assets that its stages read, and after those that are named besides. `code` makes it.
    """
    arguments: dict[str, Any] = {
        "key": key(recipe, *table),
        "group_name": group(recipe),
        "kinds": {"polars", "parquet"},
        "tags": {"pairwright/dataset": recipe.dataset},
        "hooks": {after_damage(builder(recipe))},
        "required_resource_keys": {builder(recipe)},
        "deps": [*(key(recipe, *one) for one in reads(recipe, *table)), *after],
    }
    if code:
        arguments["metadata"] = {"dagster/code_references": code_references(*code)}
    operations = recipe.operations
    if operations.owners:
        arguments["owners"] = operations.owners
    if operations.fresh_within_hours is not None:
        late = timedelta(hours=operations.fresh_within_hours)
        arguments["freshness_policy"] = dg.FreshnessPolicy.time_window(fail_window=late)
    if operations.automation == "eager":
        arguments["automation_condition"] = dg.AutomationCondition.eager()
    if sharded:
        arguments |= {"partitions_def": partitions(recipe), "backfill_policy": dg.BackfillPolicy.single_run()}
    return arguments


def workspace(context: dg.AssetExecutionContext, recipe: Recipe) -> Workspace:
    """Where a run's tables lie: a resource, which no run's config can move."""
    found = getattr(context.resources, builder(recipe))
    assert isinstance(found, Coordinator)
    return found.workspace


def shards(context: dg.AssetExecutionContext, workspace: Workspace) -> list[Shard]:
    """The shards that this run is about."""
    return [Shard(int(name), workspace.shards) for name in context.partition_keys]


def coordinator(context: dg.AssetExecutionContext, recipe: Recipe) -> Coordinator:
    """What the run shares, which knows what it is about."""
    one: Coordinator = getattr(context.resources, builder(recipe))
    keys = context.job_def.asset_layer.selected_asset_keys
    paths = {tuple(key.path[1:]) for key in keys if key.path[0] == recipe.dataset}
    selected = [stage.name for stage in flow(recipe) if asset_path(stage.name) in paths]
    if context.has_partition_key_range or context.has_partition_key:
        one.begin(selected, shards(context, one.workspace))
    return one


def result(
    metadata: Mapping[str, Any],
    checks: Iterable[Check] = (),
    findings: Mapping[str, Finding] | None = None,
    content: Any = None,
) -> dg.MaterializeResult:
    """What an asset reports: metadata for the UI, and what its checks found; one that found nothing did not fail.

    Its data version follows from `content`, a JSON-like value that names what it holds.
    """
    results = [dg.AssetCheckResult(**told) for told in _told(checks, findings or {})]
    version = None if content is None else dg.DataVersion(fingerprint(content))
    return dg.MaterializeResult(metadata=dict(metadata), check_results=results, data_version=version)


def log_checks(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, checks: Sequence[Check], findings: Mapping[str, Finding]
) -> None:
    """What the checks of an asset found, where they have stopped it, and so no asset is there to report it."""
    for check, told in zip(checks, _told(checks, findings), strict=True):
        context.log_event(dg.AssetCheckEvaluation(asset_key=asset, blocking=check.stops, **told))


def _told(checks: Iterable[Check], findings: Mapping[str, Finding]) -> list[dict[str, Any]]:
    told = []
    for check in checks:
        one = findings.get(check.name, Finding(True, "not computed"))
        severity = dg.AssetCheckSeverity.ERROR if check.stops else dg.AssetCheckSeverity.WARN
        found = {"found": one.found}
        told.append({"check_name": check.name, "passed": one.passed, "severity": severity, "metadata": found})
    return told


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


def check_specs(recipe: Recipe, table: Sequence[str], checks: Iterable[Check]) -> list[dg.AssetCheckSpec]:
    """Specs of the checks of an asset: what comes after waits for those that stop."""
    asset = key(recipe, *table)
    return [dg.AssetCheckSpec(one.name, asset=asset, description=one.doc, blocking=one.stops) for one in checks]
