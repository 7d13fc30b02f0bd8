"""What is looked at before a version becomes visible: what fails leaves none, and says why."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from helpers import TESTS, all_files, build, recipe_of, wide, write_jsonl

from pairwright.assets.intake.splits import TEMPLATE, assign_splits, sketches
from pairwright.assets.releasing import checks as looked_at
from pairwright.assets.releasing.checks import CHECKS
from pairwright.assets.releasing.release import release
from pairwright.assets.releasing.versions import Release, latest
from pairwright.assets.stages.view import ChecksError
from pairwright.assets.storage.store import Workspace, read_table, stamp_of, write
from pairwright.pipelines.build import definitions
from pairwright.pipelines.names import every_shard, job_name
from pairwright.schemas.ids import digest
from pairwright.schemas.recipe import Recipe

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A recipe, and a data directory with its first version; every prompt has a near-duplicate."""
    folder = tmp_path_factory.mktemp("checked")
    rows = wide(24)
    rows += [{**row, "prompt": row["prompt"].upper() + "?"} for row in rows]
    write_jsonl(folder / "rows.jsonl", rows)
    filters = [{"kind": "margin", "keep_fraction": 0.9}]
    recipe = recipe_of(folder, "rows.jsonl", release={"test_fraction": 0.4}, filters=filters)
    build(recipe, folder / "data")
    return recipe, folder / "data"


def tampered(path: Path, change: Change) -> None:
    """A table of other rows that says it was made from what it should be: no checksum and no stamp shows it."""
    write(change(read_table(path)), path, stamp_of(path))


def first_kept(**columns: pl.Expr) -> Change:
    """Other values in the first pair that is kept."""

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        first = pl.int_range(pl.len()) == pl.col("kept").arg_max()
        return rows.with_columns(pl.when(first).then(one).otherwise(name).alias(name) for name, one in columns.items())

    return change


def without_first(rows: pl.DataFrame) -> pl.DataFrame:
    return rows[1:]


def moved(rows: pl.DataFrame) -> pl.DataFrame:
    """Every other prompt in the other split: near-duplicates come apart."""
    other = pl.when(pl.col("split") == "train").then(pl.lit("test")).otherwise(pl.lit("train"))
    return rows.with_columns(split=pl.when(pl.int_range(pl.len()) % 2 == 0).then(other).otherwise("split"))


def twice(rows: pl.DataFrame) -> pl.DataFrame:
    """Every prompt in both splits."""
    return pl.concat([rows.with_columns(split=pl.lit(split)) for split in ("train", "test")]).sort("prompt_id")


SHARD = "00000-of-00002.parquet"
TAMPERED: dict[str, tuple[str, Change, str]] = {
    "near-duplicates apart": ("splits.parquet", moved, r"no_near_duplicate_leakage: \d+ groups of near-duplicates"),
    "a prompt in two splits": ("splits.parquet", twice, r"no_leakage: 48 prompts in two splits \([0-9a-f]{24}, "),
    "a prompt without a split": ("splits.parquet", without_first, r".*texts_are_there: [12] of \d+ rows lack one"),
    "sides swapped": (
        f"pairs/{SHARD}",
        first_kept(score_chosen=pl.col("score_rejected"), score_rejected=pl.col("score_chosen")),
        r"sides_differ: 1 of \d+ pairs",
    ),
    "one response on both sides": (
        f"pairs/{SHARD}",
        first_kept(rejected_id=pl.col("chosen_id")),
        r"sides_differ: 1 of \d+ pairs",
    ),
    "an id that names no response": (
        f"pairs/{SHARD}",
        first_kept(chosen_id=pl.lit("0" * 24)),
        r"texts_are_there: 1 of \d+ rows lack one",
    ),
    "a response gone": (f"responses/{SHARD}", without_first, r"texts_are_there: [12] of \d+ rows lack one"),
    "a ranking gone": (
        f"rankings/{SHARD}",
        without_first,
        r"funnel_adds_up: prompts with a ranking and rankings released: 48 and 47",
    ),
    "a candidate gone": (
        f"candidates/{SHARD}",
        without_first,
        r"funnel_adds_up: pairs drawn and looked at by the filters: \d+ and \d+",
    ),
    "dropped without a reason": (
        f"pairs/{SHARD}",
        first_kept(kept=pl.lit(value=False)),
        r"funnel_adds_up: .*1 pairs kept for all their reason, or dropped without one",
    ),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_a_check_stops_leaves_the_last_version_the_latest(
    built: tuple[Recipe, Path], tmp_path: Path, case: str
) -> None:
    recipe, made = built
    table, change, told = TAMPERED[case]
    data = Path(shutil.copytree(made, tmp_path / "data"))
    workspace = Workspace.of(recipe, data)
    (workspace.releases / "seen.json").unlink()
    before = all_files(workspace.releases)
    tampered(workspace.root / table, change)
    with pytest.raises(ChecksError, match=r"^tested: no release, since a check failed \(release, " + told) as error:
        release(recipe, workspace)
    assert "; v1 stays the latest" in str(error.value) and "\n" not in str(error.value)
    assert list(error.value.findings) == [one.name for one in CHECKS]
    assert all_files(workspace.releases) == before, "nothing is left of what was not released"
    if case == "near-duplicates apart":  # which cost nothing, and are made again
        (workspace.root / table).unlink()
        assert release(recipe, workspace).version == "v1"


def test_a_sound_release_keeps_how_its_checks_came_out(
    built: tuple[Recipe, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, data = built
    made = latest(Workspace.of(recipe, data))
    assert made is not None
    kept = {one["name"]: one for one in made.manifest["checks"]}
    assert list(kept) == [one.name for one in CHECKS]
    assert {one.name: one.stops for one in CHECKS} == {name: one["stops"] for name, one in kept.items()}
    assert all(one["passed"] for one in kept.values() if one["stops"])
    page = (made.path / "README.md").read_text(encoding="utf-8")
    assert f"| length bias | {'passed' if kept['watch_length_bias']['passed'] else 'warning'} |" in page
    monkeypatch.setattr("pairwright.assets.releasing.release.put_together", None)  # nothing is made again
    again = release(recipe, Workspace.of(recipe, data))
    assert [one._asdict() for one in again.checks] == made.manifest["checks"]


def test_a_version_from_before_there_were_checks_is_looked_at_and_stays(
    built: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, made = built
    workspace = Workspace.of(recipe, Path(shutil.copytree(made, tmp_path / "data")))
    before = all_files(workspace.releases / "v1")
    (workspace.releases / "seen.json").write_text('{"abc": "v1"}', encoding="utf-8")
    again = release(recipe, workspace)
    assert (again.version, again.fresh) == ("v1", False)
    assert [one.name for one in again.checks] == [one.name for one in CHECKS]
    assert all_files(workspace.releases / "v1") == before and not (workspace.releases / "v2").exists()


def one_sided(folder: Path, source: list[dict[str, Any]], **parts: Any) -> Release:
    write_jsonl(folder / "rows.jsonl", source)
    recipe = recipe_of(folder, "rows.jsonl", judges=[{"kind": "length"}], **parts)
    return build(recipe, folder / "data")


def test_length_bias_is_that_of_the_released_pairs(tmp_path: Path) -> None:
    rows = wide(20)
    made = one_sided(tmp_path, rows, release={"test_fraction": 0})
    (found,) = (one for one in made.checks if one.name == "watch_length_bias")
    assert not found.stops
    pairs = pl.concat([pl.read_parquet(path) for path in made.path.glob("pairs/*.parquet")])
    longer = [len(row["chosen"][-1]["content"]) > len(row["rejected"][-1]["content"]) for row in pairs.to_dicts()]
    assert found.found == f"chosen is the longer side in {sum(longer) / len(longer):.1%}"
    assert found.passed == (0.3 <= sum(longer) / len(longer) <= 0.7) == False  # noqa: E712
    assert made.version == "v1", "it warns, and stops nothing"


def test_a_split_that_was_asked_for_and_is_empty_warns(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for folder, fraction, passed in ((tmp_path, 1e-9, False), (tmp_path / "none", 0.0, True)):
        made = one_sided(folder, wide(6), release={"test_fraction": fraction})
        (found,) = (one for one in made.checks if one.name == "watch_splits_filled")
        assert (found.passed, found.stops) == (passed, False)
        assert found.found == ("pairs: 6 train" if passed else "no pair in test")


def test_a_template_is_no_leak_and_ends_of_a_chain_of_near_duplicates_are_one() -> None:
    shared = " ".join(f"w{i}" for i in range(60))
    many = [f"{shared} x{i}" for i in range(20 * TEMPLATE)]
    chain = [" ".join(f"c{i}" for i in range(start, start + 40)) for start in (0, 3, 6)]
    texts = pl.DataFrame({"prompt_id": [digest("p", text) for text in (*many, *chain)], "text": [*many, *chain]})
    prompts = sketches(texts).with_columns(split=pl.lit(None, pl.String))
    splits = assign_splits(prompts, 0.5)
    assert splits.get_column("split").n_unique() == 2, "the template has some in each"
    assert looked_at._no_near_leakage(prompts, splits)[1]
    ends = pl.DataFrame({"prompt_id": [digest("p", chain[0]), digest("p", chain[2])], "split": ["train", "test"]})
    _, passed, found = looked_at._no_near_leakage(prompts, ends)
    assert not passed and found.startswith("1 groups"), "though what they hang together by was not released"


def test_the_run_shows_what_stopped_it(
    built: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, made = built
    workspace = Workspace.of(recipe, Path(shutil.copytree(made, tmp_path / "data")))
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(workspace.data))
    (workspace.releases / "seen.json").unlink()
    tampered(workspace.root / "splits.parquet", moved)
    job = definitions([recipe]).resolve_job_def(job_name(recipe))
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, tags=every_shard(recipe), raise_on_error=False)
        events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    assert not run.success
    found = [event.dagster_event.asset_check_evaluation_data for event in events if event.dagster_event]
    of_release = {one.check_name: one for one in found if one.asset_key.path[-1] == "release"}
    assert not of_release["no_near_duplicate_leakage"].passed and of_release["no_leakage"].passed
    assert {name for name in of_release if name.startswith("watch_")} == {"watch_length_bias", "watch_splits_filled"}


def test_the_page_about_releases_names_every_check() -> None:
    page = (TESTS.parent / "docs" / "releases.md").read_text(encoding="utf-8")
    for check in CHECKS:
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{check.name}` |"))
        assert line.endswith("| stops |" if check.stops else "| warns |")
