"""One partition at a time: each asset of shards is made, and told of, without the other partitions."""

import json
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from helpers import recipe_of, wide, write_jsonl
from replay_server import App, Settings, serving, write_by_hash
from tiny_models import TINY

from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.build import builder, definitions
from pairwright.pipelines.dagster_assets import common
from pairwright.schemas.errors import StoreError
from pairwright.schemas.recipe import Recipe

SHARDS = 8
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def answer(body: dict[str, Any]) -> str:
    """A domain where one is asked for, else a text."""
    return json.dumps({"rationale": "so", "domain": "chat"}) if "response_format" in body else write_by_hash(body)


def whole(folder: Path, url: str) -> Recipe:
    """A recipe with every table that is made in shards."""
    write_jsonl(folder / "rows.jsonl", wide(6))
    ratio = {
        "kind": "density-ratio",
        "strong": str(TINY / "strong"),
        "weak": str(TINY / "weak"),
        "domains": {"chat": {"instruction": "Chat."}, "code": {"instruction": "Code."}},
        "router": {"model": "m", "base_url": url, "domains": {"chat": "talk", "code": "programs"}},
    }
    policy = {"name": "small", "kind": "openai", "model": "m", "base_url": url, "samples": 2}
    return recipe_of(folder, "rows.jsonl", shards=SHARDS, policies=[policy], judges=[{"kind": "length"}, ratio])


def sharded(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The partitioned assets, each after those that it reads."""
    return [one for one in ordered(recipe) if one.partitions_def is not None]


def unfitted(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """Those that need nothing of other partitions."""
    return [one for one in sharded(recipe) if one.key.path[-1] not in {"preferences", "pairs", "rankings"}]


def ordered(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """All assets, each after those that it reads."""
    made = definitions([recipe])
    order = [key for level in made.resolve_asset_graph().toposorted_asset_keys_by_level for key in level]
    found = {one.key: one for one in made.assets or [] if isinstance(one, dg.AssetsDefinition)}
    return [found[key] for key in order if key in found]


def materialised(
    recipe: Recipe, assets: list[dg.AssetsDefinition], instance: dg.DagsterInstance, **options: Any
) -> dict[str, list[dict[str, Any]]]:
    """Asset → metadata of each partition that was made."""
    resources = {common.builder(recipe): builder(recipe)}
    result = dg.materialize(assets, instance=instance, run_config=QUIET, resources=resources, **options)
    assert result.success
    told: dict[str, list[dict[str, Any]]] = {}
    for event in result.get_asset_materialization_events():
        one = event.materialization
        metadata = {name: value.value for name, value in one.metadata.items()}
        told.setdefault(one.asset_key.to_user_string(), []).append({"partition": one.partition, **metadata})
    return told


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    return tmp_path / "data"


def test_a_partition_of_any_asset_is_made_alone_and_told_with_its_own_rows(tmp_path: Path, data: Path) -> None:
    with serving(App(Settings(), answer)) as url, dg.DagsterInstance.ephemeral() as instance:
        recipe = whole(tmp_path, url)
        assets = unfitted(recipe)
        materialised(recipe, assets[:1], instance, partition_key="00000")
        rows = [pl.read_parquet(path).height for path in Workspace.of(recipe).files("prompts")]
        for partition in (rows.index(max(rows)), rows.index(0)):
            told: dict[str, list[dict[str, Any]]] = {}
            for asset in assets:
                told |= materialised(recipe, [asset], instance, partition_key=f"{partition:05d}")
            assert [name.split("/")[1] for name in sorted(told)] == [
                "domains", "likelihoods", "likelihoods", "prompts", "responses", "samples", "verdicts", "verdicts",
            ]  # fmt: skip
            for name, [one] in told.items():
                assert one["partition"] == f"{partition:05d}"
                assert one["dagster/partition_row_count"] == one["dagster/row_count"], name
            assert told["tested/prompts"][0]["dagster/row_count"] == rows[partition]
            made = pl.read_parquet(data / "tested" / "responses" / f"{partition:05d}-of-{SHARDS:05d}.parquet")
            assert told["tested/responses"][0]["dagster/row_count"] == made.height


def test_of_a_run_over_several_partitions_each_is_told_with_its_own_rows(tmp_path: Path, data: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(20))
    recipe = recipe_of(tmp_path, "rows.jsonl", shards=4, judges=[{"kind": "length"}])
    several = {"dagster/asset_partition_range_start": "00001", "dagster/asset_partition_range_end": "00002"}
    with dg.DagsterInstance.ephemeral() as instance:
        told = materialised(recipe, unfitted(recipe), instance, tags=several)
    assert set(told) == {"tested/prompts", "tested/responses", "tested/verdicts/length"}
    for name, partitions in told.items():
        table = name.removeprefix("tested/") if "verdicts" not in name else "verdicts/length-*"
        for one in partitions:
            [path] = (data / "tested").glob(f"{table}/{one['partition']}-of-00004.parquet")
            assert one["dagster/partition_row_count"] == pl.read_parquet(path).height
        assert {one["partition"] for one in partitions} == {"00001", "00002"}
        assert partitions[0]["dagster/row_count"] == sum(one["dagster/partition_row_count"] for one in partitions)


def test_what_a_fit_of_the_data_set_goes_into_is_made_a_partition_at_a_time(tmp_path: Path, data: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(20))
    share = {"kind": "margin", "keep_fraction": 0.5}
    recipe = recipe_of(tmp_path, "rows.jsonl", shards=4, judges=[{"kind": "length"}], filters=[share])
    everything = {"dagster/asset_partition_range_start": "00000", "dagster/asset_partition_range_end": "00003"}
    found = {one.key.path[-1]: one for one in sharded(recipe)}
    late = [found[name] for name in ("preferences", "pairs", "rankings")]
    with dg.DagsterInstance.ephemeral() as instance:
        materialised(recipe, unfitted(recipe), instance, tags=everything)
        made = {one.key.path[-1]: materialised(recipe, [one], instance, partition_key="00002") for one in late[:1]}
        assert [one.name for one in (data / "tested" / "preferences").iterdir()] == ["00002-of-00004.parquet"]
        with pytest.raises(StoreError, match="preferences"):  # of the others, which the cutoff is of
            materialised(recipe, [found["pairs"]], instance, partition_key="00002")
        materialised(recipe, late[:1], instance, tags=everything)
        for one in late[1:]:
            made[one.key.path[-1]] = materialised(recipe, [one], instance, partition_key="00002")
    assert sorted(made) == ["pairs", "preferences", "rankings"]
    for table, told in made.items():
        path = data / "tested" / table / "00002-of-00004.parquet"
        assert told[f"tested/{table}"][0]["dagster/row_count"] == pl.read_parquet(path).height > 0
        assert table == "preferences" or list(path.parent.iterdir()) == [path]
