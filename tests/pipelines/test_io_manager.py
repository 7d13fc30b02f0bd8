"""A user's own asset takes tables as frames, from the workspace; nothing of a build stays in the environment."""

import os
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from helpers import recipe_of, wide, write_jsonl

from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.build import definitions
from pairwright.pipelines.instance import history, home_of
from pairwright.pipelines.run import build
from pairwright.schemas.recipe import Recipe

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    folder = tmp_path_factory.mktemp("built")
    write_jsonl(folder / "rows.jsonl", wide(12))
    recipe = recipe_of(folder, "rows.jsonl", shards=3, judges=[{"kind": "length"}])
    before = dict(os.environ)
    build(recipe, folder / "data")
    assert dict(os.environ) == before
    return recipe, folder / "data"


def seen(built: tuple[Recipe, Path], asset: dg.AssetsDefinition, **options: Any) -> None:
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    recipe, data = built
    ours = definitions([recipe], data)
    both = dg.Definitions.merge(ours, dg.Definitions(assets=[asset]))
    job = both.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        chosen = [asset.key]
        assert job.execute_in_process(instance=instance, asset_selection=chosen, run_config=QUIET, **options).success


def test_the_whole_table_or_a_partition_is_a_frame(built: tuple[Recipe, Path]) -> None:
    recipe, data = built
    workspace = Workspace.of(recipe, data)
    heights = [pl.read_parquet(path).height for path in workspace.files("rankings")]
    got: list[Any] = []

    @dg.asset(ins={"pairs": dg.AssetIn([recipe.dataset, "pairs"])})
    def mine(pairs: pl.DataFrame) -> None:
        got.append(pairs)

    seen(built, mine)
    assert got[0].height == sum(pl.read_parquet(path).height for path in workspace.files("pairs")) > 0
    parts = dg.StaticPartitionsDefinition(["00000", "00001", "00002"])

    @dg.asset(ins={"rankings": dg.AssetIn([recipe.dataset, "rankings"])}, partitions_def=parts)
    def of_part(rankings: pl.LazyFrame) -> None:
        got.append(rankings)

    seen(built, of_part, partition_key="00001")
    assert isinstance(got[1], pl.LazyFrame) and got[1].collect().height == heights[1]


def test_what_is_no_table_has_no_value(built: tuple[Recipe, Path]) -> None:
    @dg.asset(ins={"one": dg.AssetIn([built[0].dataset, "release"])})
    def mine(one: pl.DataFrame) -> None: ...

    with pytest.raises(Exception, match="no table"):
        seen(built, mine)


def test_numbers_that_the_ui_plots_are_numbers(built: tuple[Recipe, Path]) -> None:
    recipe, data = built
    with history(home_of(data)) as instance:
        for table, more in (("pairs", {"kept"}), ("verdicts/length", {"failures", "calls", "cost in USD"})):
            event = instance.get_latest_materialization_event(dg.AssetKey([recipe.dataset, *table.split("/")]))
            assert event is not None and event.asset_materialization is not None
            metadata = event.asset_materialization.metadata
            for name in {"dagster/row_count", "new rows", "seconds", *more}:
                assert isinstance(metadata[name].value, int | float), name
            assert metadata["new rows"].value == metadata["dagster/row_count"].value, "of the first run, all"
            assert "dagster/partition_row_count" in metadata
