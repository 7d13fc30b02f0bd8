"""A data folder of an earlier version: what was paid for then is valid now, and nothing of it is asked again."""

import shutil
from pathlib import Path

import polars as pl
from golden_server import GOLDEN, answer, recipe_at
from replay_server import App, Settings, serving

from pairwright.assets.storage.store import version_of
from pairwright.pipelines.run import build
from pairwright.schemas.reading import load_recipe

PAID = ("replies", "samples", "verdicts", "likelihoods", "domains")


def paid(root: Path) -> dict[str, str]:
    """Each file of paid work, with the version of its rows."""
    return {
        str(path.relative_to(root)): version_of(path)
        for table in PAID
        for path in sorted((root / table).rglob("*.parquet"))
    }


def test_a_build_over_an_older_data_folder_asks_and_reads_nothing_again(tmp_path: Path) -> None:
    data = shutil.copytree(GOLDEN / "data", tmp_path / "data")
    before = paid(data / "golden")
    app = App(Settings(), answer)
    with serving(app) as url:
        made = build(load_recipe(recipe_at(url, tmp_path)), data)
    assert app.bodies == [], "nothing was asked but what the server can do"
    assert paid(data / "golden") == before, "no ledger has other rows, and none has a new folder"
    old, new = (
        pl.read_parquet(str(release / "pairs" / "*.parquet")).sort("pair_id").select("pair_id", "prompt_id")
        for release in (GOLDEN / "data" / "golden" / "releases" / "v1", made.path)
    )
    assert new.equals(old), "the same pairs, the same way round"
