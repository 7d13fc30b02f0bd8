"""What holds of a whole build, whatever the sources are cut into, called, or ordered."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import all_files, build, calls, data_files, recipe_of, wide, write_jsonl

from pairwright.assets.storage.store import Workspace

FULL: dict[str, Any] = {
    "judges": [{"kind": "bleu"}, {"kind": "unigram-f1"}, {"kind": "length", "unit": "words"}],
    "jury": {"weights": {"bleu": 0.7, "length": 0.1}},
    "pairs": {"strategy": "all", "max_per_prompt": 3},
    "filters": [
        {"kind": "margin", "keep_fraction": 0.8},
        {"kind": "near-identical"},
        {"kind": "length-ratio", "minimum": 0.1, "maximum": 4},
    ],
    "release": {"test_fraction": 0.2},
}


def counted(folder: Path, source: str, log: Path, judge: dict[str, Any] | None = None, **parts: Any) -> Any:
    return recipe_of(folder, source, judges=[{"kind": "test-counting", "log": str(log), **(judge or {})}], **parts)


@pytest.mark.parametrize("shards", [1, 3, 8])
def test_shard_count_does_not_change_the_data_files(tmp_path: Path, shards: int) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(300))
    two = build(recipe_of(tmp_path, "rows.jsonl", shards=2, **FULL), tmp_path / "two")
    other = build(recipe_of(tmp_path, "rows.jsonl", shards=shards, **FULL), tmp_path / "other")
    assert data_files(two.path) == data_files(other.path)
    assert len(data_files(two.path)) == 4


def test_shards_of_a_prompt_each_give_the_bytes_of_one_shard(tmp_path: Path) -> None:
    """Weights that are no powers of two, and a judge that abstains where a prompt has no references."""
    rows = wide(8, responses=3)
    for row in rows[::4]:
        del row["references"]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    counting = {"kind": "test-counting", "values": 997}
    parts: dict[str, Any] = {
        "judges": [{"kind": "bleu"}, counting, {**counting, "name": "other", "salt": "x"}],
        "jury": {"weights": {"bleu": 2.0, "test-counting": 0.3}},
        "pairs": {"strategy": "all"},
    }
    made = [build(recipe_of(tmp_path, "rows.jsonl", shards=n, **parts), tmp_path / str(n)) for n in (1, 16)]
    assert data_files(made[0].path) == data_files(made[1].path)
    assert made[0].manifest["digest"] == made[1].manifest["digest"]


def test_shard_count_does_not_change_the_counts_of_prompts_without_responses(tmp_path: Path) -> None:
    rows = [*wide(6), *({"prompt": f"nobody answers {i}"} for i in range(20))]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    made = [build(recipe_of(tmp_path, "rows.jsonl", shards=n), tmp_path / str(n)) for n in (1, 64)]
    assert made[0].manifest["counts"] == made[1].manifest["counts"]
    assert made[0].manifest["counts"]["prompts"] == 26
    assert made[0].manifest["funnel"] == made[1].manifest["funnel"]


@pytest.mark.parametrize("seed", [1, 2])
def test_row_order_of_the_input_does_not_change_a_byte_of_the_release(tmp_path: Path, seed: int) -> None:
    rows = wide(200)
    for row in wide(60):  # duplicates, some with conflicting references, some with further answers
        twin = dict(row)
        if len(rows) % 3 == 0:
            twin["references"] = ["other"]
        if len(rows) % 3 == 1:
            twin["responses"], twin["policies"] = ["a further answer"], ["late"]
        rows.append(twin)
    write_jsonl(tmp_path / "rows.jsonl", rows)
    first = build(recipe_of(tmp_path, "rows.jsonl", **FULL), tmp_path / "first")
    random.Random(seed).shuffle(rows)
    write_jsonl(tmp_path / "rows.jsonl", rows)
    second = build(recipe_of(tmp_path, "rows.jsonl", **FULL), tmp_path / "second")
    assert all_files(first.path) == all_files(second.path)


def test_rerun_with_nothing_changed_computes_nothing_and_makes_no_version(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_jsonl(tmp_path / "rows.jsonl", wide(50))
    recipe = counted(tmp_path, "rows.jsonl", log)
    first = build(recipe, tmp_path / "data")
    computed = calls(log)
    assert computed.total() == 200
    written = all_files(tmp_path / "data")
    second = build(recipe, tmp_path / "data")
    assert calls(log) == computed
    assert (second.version, second.fresh) == (first.version, False)
    assert all_files(tmp_path / "data") == written


def test_one_percent_new_prompts_cost_exactly_their_verdicts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_jsonl(tmp_path / "rows.jsonl", wide(200))
    build(counted(tmp_path, "rows.jsonl", log), tmp_path / "data")
    before = calls(log)
    write_jsonl(tmp_path / "rows.jsonl", wide(202))
    made = build(counted(tmp_path, "rows.jsonl", log), tmp_path / "data")
    assert made.version == "v2"
    assert (calls(log) - before).total() == 2 * 4
    assert set(calls(log).values()) == {1}


def test_new_rows_are_in_the_next_release(tmp_path: Path) -> None:
    """100 rows, then 300: the release must not stay at 100."""
    for count in (100, 300):
        write_jsonl(tmp_path / "rows.jsonl", wide(count))
        made = build(recipe_of(tmp_path, "rows.jsonl"), tmp_path / "data")
        assert made.manifest["counts"]["prompts"] == count
        assert sum(pl.read_parquet(path).height for path in made.path.glob("rankings/*")) == count


def test_a_changed_judge_option_recomputes_only_that_judge(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(40))
    logs = {name: tmp_path / name for name in ("a", "b")}

    def recipe(salt: str) -> Any:
        judges = [
            {"kind": "test-counting", "name": "a", "log": str(logs["a"]), "salt": "fixed"},
            {"kind": "test-counting", "name": "b", "log": str(logs["b"]), "salt": salt},
        ]
        return recipe_of(tmp_path, "rows.jsonl", judges=judges)

    build(recipe("old"), tmp_path / "data")
    made = build(recipe("new"), tmp_path / "data")
    assert made.version == "v2"
    assert calls(logs["a"]).total() == 160
    assert calls(logs["b"]).total() == 320
    build(recipe("old"), tmp_path / "data")
    assert calls(logs["b"]).total() == 320, "old answers stay valid"


def test_changed_references_are_judged_anew(tmp_path: Path) -> None:
    rows = wide(20)
    write_jsonl(tmp_path / "rows.jsonl", rows)
    bleu = {"judges": [{"kind": "bleu"}]}
    build(recipe_of(tmp_path, "rows.jsonl", **bleu), tmp_path / "data")
    original = [dict(row) for row in rows]
    for row in rows[:5]:
        row["references"] = [row["responses"][3]]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    incremental = build(recipe_of(tmp_path, "rows.jsonl", **bleu), tmp_path / "data")
    fresh = build(recipe_of(tmp_path, "rows.jsonl", **bleu), tmp_path / "fresh")
    assert data_files(incremental.path) == data_files(fresh.path)
    write_jsonl(tmp_path / "rows.jsonl", original)
    back = build(recipe_of(tmp_path, "rows.jsonl", **bleu), tmp_path / "data")
    assert data_files(back.path) == data_files(tmp_path / "data" / "tested" / "releases" / "v1")


def test_references_of_another_data_set_do_not_leak_into_its_verdicts(tmp_path: Path) -> None:
    rows = wide(20)
    write_jsonl(tmp_path / "one.jsonl", rows)
    write_jsonl(tmp_path / "two.jsonl", [{**row, "references": [row["responses"][3]]} for row in rows])
    bleu = {"judges": [{"kind": "bleu"}]}
    build(recipe_of(tmp_path, "one.jsonl", dataset="one", **bleu), tmp_path / "data")
    beside = build(recipe_of(tmp_path, "two.jsonl", dataset="two", **bleu), tmp_path / "data")
    alone = build(recipe_of(tmp_path, "two.jsonl", dataset="two", **bleu), tmp_path / "alone")
    assert data_files(beside.path) == data_files(alone.path)


def test_a_judge_that_reads_no_references_does_not_judge_anew_when_they_change(tmp_path: Path) -> None:
    log = tmp_path / "log"
    rows = wide(20)
    write_jsonl(tmp_path / "rows.jsonl", rows)
    build(counted(tmp_path, "rows.jsonl", log), tmp_path / "data")
    write_jsonl(tmp_path / "rows.jsonl", [{**row, "references": ["new"], "domain": "new"} for row in rows])
    build(counted(tmp_path, "rows.jsonl", log), tmp_path / "data")
    assert calls(log).total() == 80


def test_renamed_dataset_recipe_file_or_moved_folder_costs_no_verdict(tmp_path: Path) -> None:
    log, home = tmp_path / "log", tmp_path / "home"
    home.mkdir()
    write_jsonl(home / "rows.jsonl", wide(40))
    first = build(counted(home, "rows.jsonl", log), home / "data")
    assert calls(log).total() == 160
    build(counted(home, "rows.jsonl", log, dataset="renamed"), home / "data")
    moved = tmp_path / "moved"
    shutil.move(home, moved)
    (moved / "rows.jsonl").rename(moved / "lines.jsonl")
    build(counted(moved, "lines.jsonl", log, dataset="again"), moved / "data")
    same = build(counted(moved, "lines.jsonl", log), moved / "data")
    assert calls(log).total() == 160
    assert (same.version, same.fresh) == (first.version, False)


def test_another_shard_count_costs_no_verdict(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_jsonl(tmp_path / "rows.jsonl", wide(60))
    for shards in (2, 8, 1, 3, 2):
        build(counted(tmp_path, "rows.jsonl", log, shards=shards), tmp_path / "data")
    assert calls(log).total() == 240


def test_a_renamed_judge_costs_no_verdict(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write_jsonl(tmp_path / "rows.jsonl", wide(20))
    build(counted(tmp_path, "rows.jsonl", log), tmp_path / "data")
    build(counted(tmp_path, "rows.jsonl", log, judge={"name": "other", "batch": 7}), tmp_path / "data")
    assert calls(log).total() == 80


def test_incremental_equals_fresh(tmp_path: Path) -> None:
    for count, first in ((120, 0), (150, 0), (140, 20)):  # rows come, and some go
        write_jsonl(tmp_path / "rows.jsonl", wide(count, first=first))
        incremental = build(recipe_of(tmp_path, "rows.jsonl", **FULL), tmp_path / "data")
    fresh = build(recipe_of(tmp_path, "rows.jsonl", **FULL), tmp_path / "fresh")
    assert data_files(incremental.path) == data_files(fresh.path)
    assert incremental.version == "v3"


@pytest.mark.parametrize(
    "change",
    [
        {"jury": {"weights": {"length": 5}}},
        {"pairs": {"strategy": "best-vs-random", "seed": 4}},
        {"filters": [{"kind": "margin", "keep_fraction": 0.3}]},
        {"filters": []},
        {"rankings": {"temperature": 0.2}},
        {"release": {"test_fraction": 0.5}},
        {"release": {"license": "mit"}},
        {"judges": [{"kind": "length"}, {"kind": "bleu"}]},
        {"judges": [{"kind": "bleu", "name": "length"}, {"kind": "length", "name": "bleu"}]},
        {"prompts": {"source": "rows.jsonl", "columns": {"references": "other"}}},
    ],
    ids=str,
)
def test_a_changed_recipe_is_a_changed_release(tmp_path: Path, change: dict[str, Any]) -> None:
    rows = [{**row, "other": row["responses"][1]} for row in wide(60)]
    plain = {"judges": [{"kind": "bleu"}, {"kind": "length"}], "filters": [{"kind": "margin", "minimum": 2}]}
    write_jsonl(tmp_path / "rows.jsonl", rows)
    build(recipe_of(tmp_path, "rows.jsonl", **plain), tmp_path / "data")
    changed = build(recipe_of(tmp_path, "rows.jsonl", **(plain | change)), tmp_path / "data")
    fresh = build(recipe_of(tmp_path, "rows.jsonl", **(plain | change)), tmp_path / "fresh")
    assert changed.version == "v2"
    assert data_files(changed.path) == data_files(fresh.path)


def test_threads_and_hash_seeds_do_not_change_a_byte(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(150))
    content = {"dataset": "tested", "prompts": {"source": "rows.jsonl"}, "shards": 2, **FULL}
    (tmp_path / "recipe.yaml").write_text(json.dumps(content))
    driver = Path(__file__).with_name("resume.py")
    made = []
    for threads, seed in (("1", "1"), ("8", "2")):
        data = tmp_path / f"with-{threads}"
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        command = [sys.executable, str(driver), str(tmp_path / "recipe.yaml"), str(data)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        made.append(all_files(data / "tested" / "releases" / "v1"))
    assert made[0] == made[1]


def test_a_failed_verdict_is_tried_again_and_nothing_else(tmp_path: Path) -> None:
    """A failure is a row that says why; it is neither a score nor an answer that stays."""
    log = tmp_path / "log"
    write_jsonl(tmp_path / "rows.jsonl", wide(20))
    recipe = counted(tmp_path, "rows.jsonl", log, judge={"fails": "answer 1 to 7"})
    build(recipe, tmp_path / "data")
    build(recipe, tmp_path / "data")
    twice = {identifier for identifier, count in calls(log).items() if count > 1}
    workspace = Workspace.of(recipe, tmp_path / "data")
    rows = pl.concat([pl.read_parquet(path) for path in workspace.files("preferences")])
    unranked = rows.filter(pl.col("unranked").is_not_null())
    assert set(unranked.get_column("response_id")) == twice
    assert unranked.get_column("unranked").to_list() == ["test-counting: told to fail"] * len(twice)
    assert len(twice) == 1
