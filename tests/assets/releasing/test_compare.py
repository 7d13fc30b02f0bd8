"""What `diff` tells: which pairs and rankings changed, by what cause, and what the recipe had to do with it."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from helpers import build, recipe_of, wide, write_jsonl

from pairwright.assets.releasing.compare import compare, pairs_by_group
from pairwright.assets.releasing.versions import Release
from pairwright.cli import main

FIRST: dict[str, Any] = {
    "judges": [{"name": "one", "kind": "test-counting", "salt": "x"}, {"kind": "length"}],
    "filters": [{"kind": "margin", "minimum": 0.0}],
}
SECOND: dict[str, Any] = {
    "judges": [{"name": "one", "kind": "test-counting", "salt": "y"}, {"kind": "bleu"}],
    "filters": [{"kind": "margin", "minimum": 0.5}],
    "pairs": {"strategy": "adjacent"},
}


def two(folder: Path) -> tuple[Release, Release]:
    write_jsonl(folder / "rows.jsonl", wide(20))
    old = build(recipe_of(folder, "rows.jsonl", **FIRST), folder / "data")
    write_jsonl(folder / "rows.jsonl", wide(20, first=2))
    return old, build(recipe_of(folder, "rows.jsonl", **SECOND), folder / "data")


def test_causes_are_told_beside_the_counts(tmp_path: Path) -> None:
    old, new = two(tmp_path)
    found = compare(old, new)
    changed = {one.what: (one.old, one.new) for one in found.recipe}
    assert changed == {
        "judges[one].salt": ("x", "y"),
        "judges[length].kind": ("length", None),
        "judges[bleu].kind": (None, "bleu"),
        "filters[margin].minimum": (0.0, 0.5),
        "pairs.strategy": (None, "adjacent"),
    }
    assert {one.what for one in found.judges} == {"one", "length", "bleu"}
    assert found.rankings["added"] == found.rankings["gone"] == 2
    assert found.rankings["changed"] + found.rankings["unchanged"] == 18
    assert found.causes["added"]["new prompts"] > 0 and found.causes["gone"]["prompts gone"] > 0


def test_ids_by_group_add_up_to_the_counts(tmp_path: Path) -> None:
    old, new = two(tmp_path)
    ids, counts = pairs_by_group(old.path, new.path), compare(old, new).pairs
    assert {group: len(members) for group, members in ids.items()} == {
        group: counts[group] for group in ("added", "gone", "flipped")
    }
    assert not set(ids["added"]) & set(ids["gone"]) and ids["added"] == sorted(ids["added"])


def test_the_command_tells_all_of_it(tmp_path: Path) -> None:
    two(tmp_path)
    line = ["diff", "v1", "v2", "--data", str(tmp_path / "data")]
    text = CliRunner().invoke(main, line).output
    assert text.startswith("v1 → v2: ") and "\nrankings: 2 added, 2 gone, " in text
    assert "recipe judges[one].salt: x → y\n" in text and "recipe pairs.strategy: not set → adjacent\n" in text
    assert "new prompts" in text and "judge one: " in text
    listed = CliRunner().invoke(main, [*line, "--pairs"]).output.removeprefix(text).splitlines()
    told = json.loads(CliRunner().invoke(main, [*line, "--pairs", "--json"]).output)
    assert listed == [f"{group} {one}" for group, members in told["pair_ids"].items() for one in members]
    assert set(told) >= {
        "old",
        "new",
        "added",
        "gone",
        "flipped",
        "unchanged",
        "causes",
        "rankings",
        "recipe",
        "judges",
    }
    same = CliRunner().invoke(main, ["diff", "v1", "v1", "--data", str(tmp_path / "data")]).output
    assert "0 added, 0 gone, 0 flipped" in same and "the same" in same
