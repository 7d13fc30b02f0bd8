"""What Dagster reads and stores of an asset's value: tables are read from the workspace, and nothing is stored.

Dagster's own manager has a folder to write to among the options of a run, which anyone who may start a run could set.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from pairwright.assets.flow import flow
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.schemas.errors import StoreError
from pairwright.schemas.recipe import Recipe


class _Tables(dg.IOManager):
    """Gives the tables of data sets to whoever takes them as an input, and takes no value."""

    def __init__(self, recipes: Sequence[Recipe], data: Path | None) -> None:
        self._recipes = {recipe.dataset: recipe for recipe in recipes}
        self._data = data

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Raises TypeError for a value: an asset has to store its own."""
        if obj is not None:
            raise TypeError(f"asset {context.asset_key.to_user_string()} returned a value; it has to store it itself")

    def load_input(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame:
        """The rows of a table: of the partitions that the run is about, or all; lazy where a LazyFrame is asked for.

        Raises TypeError for an asset that is no table, StoreError where a file of it is not there yet.
        """
        dataset, *path = context.asset_key.path
        recipe, name = self._recipes.get(dataset), "/".join(path)
        stages = {stage.name: stage for stage in flow(recipe) if not stage.fit} if recipe else {}
        if recipe is None or name not in stages:
            raise TypeError(f"asset {context.asset_key.to_user_string()} is no table; it has no value to load")
        workspace = Workspace.of(recipe, self._data)
        keys = context.asset_partition_keys if context.has_asset_partitions else None
        every = list(workspace.each_shard())
        shards = every if keys is None else [Shard(int(key), workspace.shards) for key in keys]
        files = [workspace.file(stages[name].table, shard) for shard in shards]
        missing = [path.name for path in files if not path.exists()]
        if missing:
            raise StoreError(f"table {name} of {dataset} lacks {', '.join(missing[:3])}; materialise it first")
        rows = scan(files)
        return rows if context.dagster_type.typing_type is pl.LazyFrame else rows.collect()


def tables(recipes: Sequence[Recipe], data: Path | None = None) -> dg.IOManagerDefinition:
    """The manager of all assets, without any option. Tables lie in `data`, by default where PAIRWRIGHT_DATA says."""
    return dg.IOManagerDefinition(resource_fn=lambda _: _Tables(recipes, data), config_schema={})
