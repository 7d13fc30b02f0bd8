"""Damaged files: each kind that a data set has is made again or named in one line, and nothing paid for is lost."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from helpers import all_files, data_files, recipe_of, wide, write_jsonl
from helpers import build as build_plainly
from replay_server import App, Settings, judge_by_hash, serving

from pairwright.assets.auditing.relabel import audit
from pairwright.assets.display.views import table
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.judging.verdicts import guides_first
from pairwright.assets.pairing.pair import pair
from pairwright.assets.pairing.prefer import prefer
from pairwright.assets.pairing.rank import rank
from pairwright.assets.publishing.export import export, format_named
from pairwright.assets.releasing.release import release
from pairwright.assets.releasing.versions import Release
from pairwright.assets.report.page import report
from pairwright.assets.sampling.sample import policies_of, respond, sample_shard
from pairwright.assets.stages.run import Run
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.repair import mended
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace, scan, version_of
from pairwright.cli import main
from pairwright.pipelines.build import definitions
from pairwright.pipelines.names import every_shard, job_name
from pairwright.pipelines.run import QUIET, build
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.recipe import Recipe

NIGHTS = [datetime(2026, 3, day, 2, tzinfo=UTC) for day in (1, 2)]
TOLD = {
    "samples/*/*.parquet": "responses/*.parquet",
    "verdicts/bleu*/*.parquet": None,
    "verdicts/llm*/*.parquet": None,
    "replies/llm*/*.parquet": "verdicts/llm*/*.parquet",
    "relabel/state.json": None,
    "relabel/*/*.parquet": None,
    "releases/v1/manifest.json": None,
}
"""Files that cost something or cannot be made again, and what must be gone for a build to read them."""
FREE = (
    "prompts/*.parquet",
    "given/*.parquet",
    "responses/*.parquet",
    "preferences/*.parquet",
    "candidates/*.parquet",
    "pairs/*.parquet",
    "rankings/*.parquet",
    "scales.parquet",
    "rejects.parquet",
    "intake.json",
    "views/*.json",
    "releases/seen.json",
    "releases/v1/report.html",
    "releases/v1/pairs/train-*.parquet",
    "releases/v1/rankings/train-*.parquet",
    "exports/v1/trl/export.json",
    "exports/v1/trl/train.parquet",
    "../.servers.json",
)


def flipped(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def garbage(path: Path) -> None:
    """Bytes that are no text."""
    path.write_bytes(b"\xff\xfenothing of ours\x00" * 40)


def truncated(path: Path) -> None:
    """The first half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    """No byte."""
    path.write_bytes(b"")


def other_json(path: Path) -> None:
    """Something that can be read and says nothing."""
    path.write_text('["nothing"]', encoding="utf-8")


@pytest.fixture(autouse=True)
def home() -> Iterator[None]:
    """A build in this process names Dagster's home for all that follow in it; a damaged one must not stay."""
    before = os.environ.get("DAGSTER_HOME")
    yield
    if before is None:
        os.environ.pop("DAGSTER_HOME", None)
    else:
        os.environ["DAGSTER_HOME"] = before


def folder(path: Path) -> None:
    """A folder in its place."""
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], None]] = {
    one.__name__: one for one in (flipped, garbage, truncated, empty, other_json, folder)
}


class House(NamedTuple):
    """A data set that was built, and what an edited recipe makes of it."""

    folder: Path
    url: str
    expected: dict[str, bytes]

    def recipe(self, edited: bool = False) -> Recipe:
        """Edited, every table from the preferences on is another, so all before them are read."""
        common = {"model": "m", "base_url": self.url}
        return recipe_of(
            self.folder,
            "rows.jsonl",
            shards=1,
            policies=[{"kind": "openai", "name": "writer", **common}],
            judges=[{"kind": "bleu"}, {"kind": "llm-rating", "name": "rubric", "aspects": ["helpfulness"], **common}],
            jury={"weights": {"bleu": 2.0}} if edited else {},
            pairs={"strategy": "all"} if edited else {},
            filters=[{"kind": "margin", "keep_fraction": 0.9}],
            schedule={"relabel": "0 2 * * *", "audit_fraction": 0.5},
            release={"formats": ["trl"]},
        )

    def build(self, data: Path, edited: bool = True) -> Release:
        """All stages in order, as a nightly run has them."""
        recipe, night = self.recipe(edited), NIGHTS[edited]
        workspace = Workspace.of(recipe, data)
        return mended(workspace.root, lambda: _stages(recipe, workspace, night))


def _stages(recipe: Recipe, workspace: Workspace, night: datetime) -> Release:
    take_in(recipe, workspace)
    (shard,) = workspace.each_shard()
    for policy in policies_of(recipe):
        sample_shard(recipe, policy, workspace, shard, Run(budget_of(recipe, workspace)))
    respond(recipe, workspace, shard)
    files = workspace.files("responses")
    made_from = [version_of(path) for path in files]
    kept_view(workspace, "responses", made_from, lambda: {"preview": table(scan(files).select("text").collect())})
    for judge in guides_first(recipe):
        judge_shard(judge, workspace, shard, budget_of(recipe, workspace))
    audit(recipe, workspace, night)
    prefer(recipe, workspace)
    pair(recipe, workspace)
    rank(recipe, workspace)
    made = release(recipe, workspace)
    report(recipe, workspace, made)
    export(made, format_named("trl"), workspace.root / "exports" / made.version / "trl", ours=True)
    return made


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("house")
    write_jsonl(place / "rows.jsonl", [*wide(8, 2), {"prompt": ""}])
    with serving(App(Settings(), judge_by_hash)) as url:
        new = House(place, url, {})
        new.build(place / "data", edited=False)
        shutil.copytree(place / "data", place / "edited")
        yield new._replace(expected=data_files(new.build(place / "edited").path))


def one_of(data: Path, pattern: str) -> Path:
    if pattern.startswith("../"):
        return data / pattern[3:]
    return sorted((data / "tested").glob(pattern))[0]


def each(patterns: Iterable[str]) -> list[object]:
    """Each file with one kind of damage, in turns, and with all others in the long form."""
    names = list(DAMAGES)
    return [
        pytest.param(pattern, damage, marks=[] if names[place % len(names)] == damage else pytest.mark.slow)
        for place, pattern in enumerate(patterns)
        for damage in names
    ]


@pytest.mark.parametrize(("pattern", "damage"), each(FREE))
def test_what_costs_nothing_is_made_again(house: House, tmp_path: Path, pattern: str, damage: str) -> None:
    data = shutil.copytree(house.folder / "data", tmp_path / "data")
    path = one_of(data, pattern)
    DAMAGES[damage](path)
    try:
        made = house.build(data)
    except PairwrightError as error:  # nobody's folder is taken away
        assert damage == "folder" and path.name in str(error) and len(str(error).splitlines()) == 1
    else:
        assert data_files(made.path) == house.expected


@pytest.mark.parametrize(("pattern", "damage"), each(TOLD))
def test_what_is_paid_for_is_named_in_one_line_and_left_as_it_is(
    house: House, tmp_path: Path, pattern: str, damage: str
) -> None:
    data = shutil.copytree(house.folder / "data", tmp_path / "data")
    path = one_of(data, pattern)
    whole = path.read_bytes()
    DAMAGES[damage](path)
    before = path.read_bytes() if path.is_file() else None
    if gone := TOLD[pattern]:
        one_of(data, gone).unlink()
    with pytest.raises(PairwrightError) as caught:
        house.build(data)
    assert str(path) in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert "put" in str(caught.value) and "move" in str(caught.value)
    if before is None:
        path.rmdir()
    else:
        assert path.read_bytes() == before
    path.write_bytes(whole)
    assert data_files(house.build(data).path) == house.expected


def in_one_line(*arguments: str) -> str:
    """What a command that fails says."""
    done = CliRunner().invoke(main, [*arguments])
    assert done.exit_code == 1 and len(done.output.splitlines()) == 1 and done.output.startswith("error: ")
    return done.output


@pytest.mark.parametrize("damage", [flipped, truncated, Path.unlink])
def test_nothing_of_a_damaged_version_is_handed_out_and_the_next_one_does_not_want_it(
    house: House, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    data = shutil.copytree(house.folder / "data", tmp_path / "data")
    path = one_of(data, "releases/v1/pairs/train-*.parquet")
    gone = sorted(pl.read_parquet(path).get_column("pair_id"))
    damage(path)
    made = house.build(data)
    assert (made.version, made.manifest["parent"], made.manifest["changes"]) == ("v2", "v1", None)
    assert data_files(made.path) == house.expected
    assert "Against v1: not known" in (made.path / "README.md").read_text(encoding="utf-8")
    where = ("--data", str(data))
    for arguments in (
        ("export", "tested/v1", "--format", "trl", "--out", str(tmp_path / "out")),
        ("push", "tested/v1", "--repo", "org/name", "--dry-run"),
        ("diff", "tested/v1", "tested/v2"),
    ):
        said = in_one_line(*arguments, *where)
        assert str(path) in said and "tested v1" in said
    assert not (tmp_path / "out").exists()
    still = set(pl.read_parquet(made.path / "pairs" / "*.parquet").get_column("pair_id"))
    done = CliRunner().invoke(main, ["explain", next(one for one in gone if one in still), *where])
    if damage is truncated:
        assert done.exit_code == 1 and str(path) in done.output and len(done.output.splitlines()) == 1
    else:
        assert done.exit_code == 0 and "v2" in done.output


def test_a_version_that_lost_files_gets_them_back_from_the_same_rows(house: House, tmp_path: Path) -> None:
    data = shutil.copytree(house.folder / "data", tmp_path / "data")
    version = data / "tested" / "releases" / "v1"
    before, report = data_files(version), (version / "report.html").stat().st_size
    shutil.rmtree(version / "pairs")
    truncated(version / "report.html")
    one_of(data, "releases/v1/rankings/*.parquet").write_bytes(b"broken")
    assert not house.build(data, edited=False).fresh
    assert data_files(version) == before
    assert (version / "report.html").stat().st_size == report


def test_what_else_lies_beside_the_versions_stops_nobody(house: House, tmp_path: Path) -> None:
    data = shutil.copytree(house.folder / "data", tmp_path / "data")
    releases, recipe = data / "tested" / "releases", house.folder / "recipe.yaml"
    for name in ("v1.bak", "v01", "v²", "v0"):
        shutil.copytree(releases / "v1", releases / name)
    (releases / "v2").write_text("mine", encoding="utf-8")
    before = all_files(releases / "v1.bak")
    made = house.build(data)
    assert (made.version, made.manifest["parent"], made.manifest["changes"]["gone"]) == ("v3", "v1", 0)
    pair_id = str(pl.read_parquet(made.path / "pairs" / "*.parquet").item(0, "pair_id"))
    content = {"dataset": "tested", "prompts": {"source": "rows.jsonl"}, "judges": [{"kind": "bleu"}]}
    recipe.write_text(json.dumps(content), encoding="utf-8")
    where = ["--data", str(data)]
    for arguments in (
        ["releases", str(recipe)],
        ["explain", pair_id],
        ["diff", "tested/v1", "tested/v3"],
        ["push", "tested", "--repo", "org/name", "--dry-run"],
    ):
        done = CliRunner().invoke(main, [*arguments, *where], catch_exceptions=False)
        assert done.exit_code == 0 and "v1.bak" not in done.output and "v01" not in done.output
    assert "there are: v1, v3" in in_one_line("export", "tested/v2", "--format", "trl", "--out", "out", *where)
    assert (releases / "v2").read_text(encoding="utf-8") == "mine" and all_files(releases / "v1.bak") == before


def test_the_command_line_makes_a_damaged_table_again_and_the_ui_with_its_next_run(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(data))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    recipe = recipe_of(house.folder, "rows.jsonl", shards=1, judges=[{"kind": "bleu"}])
    edited = recipe_of(house.folder, "rows.jsonl", shards=1, judges=[{"kind": "bleu"}], pairs={"strategy": "all"})
    build(recipe, data)
    flipped(one_of(data, "preferences/*.parquet"))
    (data / ".dagster" / "dagster.yaml").write_bytes(b"\xff: [")
    assert data_files(build(edited, data).path) == data_files(build_plainly(edited, tmp_path / "plain").path)
    flipped(one_of(data, "preferences/*.parquet"))
    job = definitions([recipe]).resolve_job_def(job_name(recipe))
    with dg.DagsterInstance.ephemeral() as instance:
        tags = every_shard(recipe)
        run = job.execute_in_process(instance=instance, tags=tags, run_config=QUIET, raise_on_error=False)
    assert not run.success and not list((data / "tested" / "preferences").glob("*.parquet"))
    for path in (data / ".dagster").rglob("*.db"):
        path.write_bytes(b"no data base" * 400)
    with pytest.raises(StoreError, match=r"settings or history in .*\.dagster cannot be used"):
        build(edited, data)
