"""Releases: whole, immutable, read by trainers offline, and inert where they show text."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from helpers import all_files, build, data_files, recipe_of, wide, write_jsonl

from pairwright.assets.display import views
from pairwright.assets.display.text import UNLINKED, cell, shown
from pairwright.assets.pairing.pair import pair
from pairwright.assets.publishing.export import export, format_named
from pairwright.assets.releasing import release as releases
from pairwright.assets.releasing.changes import difference
from pairwright.assets.releasing.versions import Release, find, latest
from pairwright.assets.storage import kept_views, split_writer
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.split_writer import SplitWriter
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.files import replacing, scratch_folder, sweep
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.reading import parse_recipe

HALF = {"release": {"test_fraction": 0.4}}


def made_in(folder: Path, count: int = 60, **parts: Any) -> tuple[Release, Workspace]:
    write_jsonl(folder / "rows.jsonl", wide(count))
    recipe = recipe_of(folder, "rows.jsonl", **(HALF | parts))
    return build(recipe, folder / "data"), Workspace.of(recipe, folder / "data")


def test_the_manifest_names_every_file_with_its_true_hash_rows_and_size(tmp_path: Path) -> None:
    made, _ = made_in(tmp_path)
    files = data_files(made.path)
    assert set(made.manifest["files"]) == set(files)
    assert set(all_files(made.path)) == {*files, "README.md", "manifest.json"}
    for name, content in files.items():
        stated = made.manifest["files"][name]
        assert stated["blake2b"] == hashlib.blake2b(content, digest_size=32).hexdigest()
        assert stated["bytes"] == len(content)
        assert stated["rows"] == pq.read_metadata(made.path / name).num_rows
    stated = json.loads((made.path / "manifest.json").read_text(encoding="utf-8"))
    assert stated == made.manifest | {"sum": fingerprint(made.manifest)}


def test_the_recipe_in_the_manifest_builds_the_same_data_files(tmp_path: Path) -> None:
    parts: dict[str, Any] = {
        "judges": [{"kind": "bleu", "variant": "sacrebleu"}, {"kind": "length", "name": "size"}],
        "filters": [{"kind": "near-identical"}, {"kind": "length-ratio", "maximum": None}],
        "pairs": {"strategy": "best-vs-random", "seed": 5},
    }
    made, _ = made_in(tmp_path, **parts)
    again = parse_recipe(made.manifest["recipe"], tmp_path / "again.yaml")
    assert data_files(build(again, tmp_path / "again").path) == data_files(made.path)
    stated = {name: one["fingerprint"] for name, one in made.manifest["judges"].items()}
    assert stated == {judge.name: judge.fingerprint for judge in again.judges}


def test_trainers_read_both_configurations_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    made, _ = made_in(tmp_path)
    for name in ("pairs", "rankings"):
        read = datasets.load_dataset(str(made.path), name, cache_dir=str(tmp_path / "cache"))
        for split in ("train", "test"):
            assert read[split].num_rows == made.manifest["counts"][f"{name}_{split}"] > 0
    row = datasets.load_dataset(str(made.path), "pairs", split="train", cache_dir=str(tmp_path / "cache"))[0]
    assert [turn["role"] for turn in row["prompt"] + row["chosen"] + row["rejected"]] == [
        "user",
        "assistant",
        "assistant",
    ]
    assert row["score_chosen"] > row["score_rejected"]
    assert set(row["chosen_scores"]) == {"test-counting"}


def test_a_release_without_a_test_split_reads_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    made, _ = made_in(tmp_path, count=5, release={"test_fraction": 0})
    read = datasets.load_dataset(str(made.path), "pairs", cache_dir=str(tmp_path / "cache"))
    assert set(read) == {"train"}


def test_validation_stays_apart_in_release_card_and_exports(tmp_path: Path) -> None:
    names = ["train", "dev", "test"]
    rows = [{**row, "split": names[i % 3]} for i, row in enumerate(wide(30))]
    rows.append({**rows[0], "references": ["other"]})
    write_jsonl(tmp_path / "rows.jsonl", rows)
    made = build(recipe_of(tmp_path, "rows.jsonl", release={"test_fraction": 0}), tmp_path / "data")
    for split, name in zip(("train", "validation", "test"), names, strict=True):
        assert made.manifest["counts"][f"pairs_{split}"] == 10
        found = pl.read_parquet(made.path / "pairs" / f"{split}-00000.parquet").get_column("prompt").to_list()
        assert {turns[0]["content"] for turns in found} == {row["prompt"] for row in rows if row["split"] == name}
    page = (made.path / "README.md").read_text(encoding="utf-8")
    assert "path: pairs/validation-*.parquet" in page and "30 preference pairs" in page
    assert "1 rows repeat a prompt with other references" in page
    for kind, ending in (("trl", "parquet"), ("axolotl", "jsonl")):
        done = export(made, format_named(kind), tmp_path / kind)
        assert set(done.stamp["files"]) == {f"{split}.{ending}" for split in ("train", "validation", "test")}
    stanza = yaml.safe_load((tmp_path / "axolotl" / "axolotl.yaml").read_text(encoding="utf-8"))
    assert [Path(entry["path"]).name for entry in stanza["test_datasets"]] == ["validation.jsonl"]


def test_no_prompt_or_near_duplicate_is_in_both_splits(tmp_path: Path) -> None:
    rows = wide(60)
    rows += [{**row, "prompt": row["prompt"].upper() + "?"} for row in rows]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    made = build(recipe_of(tmp_path, "rows.jsonl", **HALF), tmp_path / "data")
    for name in ("pairs", "rankings"):
        seen: dict[str, set[str]] = {"train": set(), "test": set()}
        for split in seen:
            for path in made.path.glob(f"{name}/{split}-*"):
                prompts = pl.read_parquet(path).get_column("prompt").to_list()
                seen[split] |= {turns[-1]["content"].lower().rstrip("?") for turns in prompts}
        assert seen["train"] and seen["test"]
        assert not seen["train"] & seen["test"]


def test_a_version_is_never_touched_again(tmp_path: Path) -> None:
    first, _ = made_in(tmp_path)
    content = all_files(first.path)
    second, workspace = made_in(tmp_path, count=70)
    assert (first.version, second.version, second.manifest["parent"]) == ("v1", "v2", "v1")
    assert all_files(first.path) == content
    changes = second.manifest["changes"]
    assert changes["unchanged"] + changes["gone"] + changes["flipped"] == sum(
        first.manifest["counts"][f"pairs_{split}"] for split in ("train", "test")
    )
    assert find(workspace, "v1").path == first.path
    with pytest.raises(StoreError, match=r"no release 'v9'; there are: v1, v2"):
        find(workspace, "v9")


def test_a_deleted_version_is_made_anew(tmp_path: Path) -> None:
    import shutil

    first, _ = made_in(tmp_path)
    content = all_files(first.path)
    shutil.rmtree(first.path)
    again, _ = made_in(tmp_path)
    assert (again.version, all_files(again.path)) == ("v1", content)


def test_differences_count_added_gone_and_flipped(tmp_path: Path) -> None:
    def folder(name: str, pairs: list[tuple[str, str, str]]) -> Path:
        (tmp_path / name / "pairs").mkdir(parents=True)
        rows = [(chosen + rejected, prompt, chosen, rejected) for prompt, chosen, rejected in pairs]
        columns = ["pair_id", "prompt_id", "chosen_id", "rejected_id"]
        pl.DataFrame(rows, schema=columns, orient="row").write_parquet(
            tmp_path / name / "pairs" / "train-00000.parquet"
        )
        return tmp_path / name

    old = folder("old", [("p", "a", "b"), ("q", "c", "d"), ("r", "e", "f")])
    new = folder("new", [("p", "a", "b"), ("q", "d", "c"), ("s", "g", "h"), ("t", "i", "j")])
    assert difference(old, new) == {"added": 2, "gone": 1, "flipped": 1, "unchanged": 1}


def test_a_release_that_fails_half_way_leaves_no_half_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise PairwrightError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(releases, "card", fail)
        with pytest.raises(PairwrightError, match="out of luck"):
            made_in(tmp_path)
    folder = tmp_path / "data" / "tested" / "releases"
    assert [path.name for path in folder.iterdir()] == ["release.lock"]
    assert made_in(tmp_path)[0].version == "v1"


def test_what_a_killed_process_of_the_same_number_left_is_no_obstacle(tmp_path: Path) -> None:
    """In containers the numbers of processes repeat."""
    left = tmp_path / "data" / "tested" / "releases" / f".v1.{os.getpid()}.tmp" / "pairs"
    left.mkdir(parents=True)
    (left / "train-00000.parquet").write_bytes(b"torn")
    made, workspace = made_in(tmp_path)
    assert set(data_files(made.path)) == set(made.manifest["files"])
    assert not list(workspace.releases.glob(".*.tmp"))


def test_sweeping_removes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    """Whoever writes holds a lock, so the number of a process, which another machine has too, says nothing."""
    dead = "0123456789abcdef"
    for name in (f".v1.{dead}.tmp", f".v1.{os.getppid()}.tmp"):
        (tmp_path / name / "pairs").mkdir(parents=True)
    own = [f".a.parquet.{dead}.tmp", f".a.parquet.{dead}.lock", f".b.{dead}.lock", f".a.parquet.{os.getppid()}.tmp"]
    others = ["a.parquet", "mine.tmp", ".mine.tmp", "build.lock"]
    for name in (*own, *others):
        (tmp_path / name).touch()
    with replacing(tmp_path / "c.parquet") as live, scratch_folder(tmp_path / "v2") as folder:
        live.touch()
        (folder / "d.parquet").touch()
        sweep(tmp_path)
        assert live.exists() and (folder / "d.parquet").exists()
        (folder / "d.parquet").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "c.parquet"])


def test_tables_of_another_recipe_are_not_released_under_this_ones_name(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(8))
    mine = recipe_of(tmp_path, "rows.jsonl")
    other = recipe_of(tmp_path, "rows.jsonl", pairs={"strategy": "all"})
    build(mine, tmp_path / "data")
    workspace = Workspace.of(mine, tmp_path / "data")
    pair(other, workspace)
    with pytest.raises(StoreError, match=r"table pairs of tested was not made by .*recipe\.yaml"):
        releases.release(mine, workspace)
    assert build(mine, tmp_path / "data").version == "v1"


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_version_without_a_readable_manifest_is_told_in_one_line(tmp_path: Path, content: str | None) -> None:
    made, workspace = made_in(tmp_path)
    manifest = made.path / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content)
    with pytest.raises(StoreError, match=r"manifest\.json"):
        latest(workspace)


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [7, 30, 13], [49, 1], [0, 20, 0, 30]])
def test_files_do_not_depend_on_how_the_rows_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    monkeypatch.setattr(split_writer, "GROUP", 4)
    monkeypatch.setattr(split_writer, "FILE", 12)
    frame = pl.DataFrame(
        {
            "text": [None if i % 7 == 0 else "x" * i for i in range(50)],
            "domain": ["d"] * 50,
            "list": [[str(i)] * (i % 3) for i in range(50)],
            "split": ["test" if i % 5 == 0 else "train" for i in range(50)],
        }
    )

    def written(name: str, pieces: list[int]) -> dict[str, bytes]:
        with SplitWriter(tmp_path / name) as writer:
            start = 0
            for size in pieces:
                writer.add(frame[start : start + size])
                start += size
        assert {one.path.name: one.rows for one in writer.files} == {
            path.name: pq.read_metadata(path).num_rows for path in (tmp_path / name).iterdir()
        }
        return all_files(tmp_path / name)

    whole, parts = written("whole", [50]), written("parts", sizes)
    assert whole == parts
    assert sorted(whole) == [
        *(f"test-{i:05d}.parquet" for i in range(1)),
        *(f"train-{i:05d}.parquet" for i in range(4)),
    ]
    read = pl.concat([pl.read_parquet(tmp_path / "parts" / name) for name in sorted(parts) if "train" in name])
    assert read.equals(frame.filter(pl.col("split") == "train").drop("split"))


HOSTILE = [
    "| a | b |\n|---|---|",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://example.org/track.png)",
    "[click](javascript:alert(1))",
    "https://example.org",
    "HTTP://x.y www.example.org mailto me@example.org, ftp://f.g",
    "`code` **bold** _em_ ~~gone~~ $x$",
    "&lt;b&gt; &#60;",
    "\u202eevil\u2066 \u0000\x1b[31m\u2028new line",
    "-->\n---\nconfigs: []\n---",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_inert_in_a_cell(text: str) -> None:
    safe = cell(text)
    assert not set(safe) & set("|<>`*_[]()~!\n\r\x00\x1b\u2028\u202e\u2066")
    assert "://" not in safe
    import html

    assert html.unescape(safe).replace(UNLINKED, "") == shown(text)
    assert not re.search(r"https?:|www\.|\w@", html.unescape(safe))


def test_a_view_is_kept_until_its_rows_or_the_program_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path, "viewed", 1)
    made: list[str] = []

    def view(rows: str) -> dict[str, str]:
        def make() -> dict[str, str]:
            made.append(rows)
            return {"preview": f"{rows}, {len(made)}"}

        return kept_view(workspace, "pairs", [rows], make)

    assert view("a") == view("a") == {"preview": "a, 1"}
    assert view("b") == {"preview": "b, 2"}
    monkeypatch.setattr(kept_views, "__version__", "another")
    assert view("b") == {"preview": "b, 3"} and made == ["a", "b", "b"]


def test_hostile_prompts_are_inert_in_previews_and_absent_from_the_card(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{text} {i}", "responses": [text, text * 2, "plain"], "policies": [text, "b", "c"], "domain": text}
        for i, text in enumerate(HOSTILE)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    made = build(recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}]), tmp_path / "data")
    shown_pairs = views.table(pl.concat([pl.read_parquet(path) for path in made.path.glob("pairs/*")]))
    assert "<" not in shown_pairs
    assert "https://" not in shown_pairs
    lines = shown_pairs.splitlines()
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    card = (made.path / "README.md").read_text()
    for text in HOSTILE:
        assert text not in card
    assert yaml.safe_load(card.split("---")[1])["configs"][0]["config_name"] == "pairs"


def test_the_card_names_the_licence_as_yaml_whatever_it_holds(tmp_path: Path) -> None:
    made, _ = made_in(tmp_path, count=5, release={"license": "x\n---\nconfigs: []"})
    front = yaml.safe_load((made.path / "README.md").read_text().split("\n---\n# ")[0].removeprefix("---\n"))
    assert front["license"] == "x\n---\nconfigs: []"
    assert front["configs"]
