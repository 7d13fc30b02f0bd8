"""Every format gives back the release's texts, order and scores, read by `datasets`; what it cannot hold, it counts."""

import json
from pathlib import Path
from typing import Any

import pytest
import release_folder as hand
import yaml
from datasets import Dataset
from helpers import build, recipe_of, write_jsonl

from pairwright.assets.publishing.export import export, format_named
from pairwright.assets.releasing.versions import Release
from pairwright.schemas.kinds import kinds

Rows = list[dict[str, Any]]
SINGLE = [row for row in hand.pairs() if len(row["prompt"]) == 1]
TAKING_TURNS = [row for row in hand.pairs() if row["pair_id"] != f"{90:024x}"]
USER_AND_ASSISTANT = [row for row in SINGLE if row["prompt"][0]["role"] == "user"]
ONE_TEXT = [
    row
    for row in hand.pairs()
    if (row["prompt"][:1] == [hand.SYSTEM] and len(row["prompt"]) == 2) or len(row["prompt"]) == 1
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return hand.make(tmp_path_factory.mktemp("releases") / "v1")


def read(made: Release, out: Path, kind: str, stem: str = "", **options: Any) -> Rows:
    """Export, then load both splits through `datasets`, in order."""
    done = export(made, format_named(kind, **options), out)
    rows: Rows = []
    for split in ("train", "test"):
        for ending, reader in ((".parquet", Dataset.from_parquet), (".jsonl", Dataset.from_json)):
            path = done.path / f"{split}{stem}{ending}"
            if path.exists():
                rows += reader(str(path), cache_dir=str(out / "cache")).to_list()
    return rows


def in_file_order(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: row["split"], reverse=True)


def text(row: dict[str, Any], column: str) -> str:
    return str(row[column][-1]["content"])


def whole(row: dict[str, Any], side: str) -> Rows:
    return [*row["prompt"], *row[side]]


def spoken(turns: Rows) -> Rows:
    names = {"system": "system", "user": "human", "tool": "observation", "assistant": "gpt"}
    return [{"from": names[one["role"]], "value": one["content"]} for one in turns]


PAIRWISE = {
    "trl": (
        hand.pairs(),
        lambda r: {k: r[k] for k in ("prompt", "chosen", "rejected", "score_chosen", "score_rejected", "margin")},
    ),
    "trl-implicit": (
        hand.pairs(),
        lambda r: {"chosen": whole(r, "chosen"), "rejected": whole(r, "rejected"), "margin": r["margin"]},
    ),
    "openrlhf": (
        hand.pairs(),
        lambda r: {"chosen": whole(r, "chosen"), "rejected": whole(r, "rejected"), "margin": r["margin"]},
    ),
    "llamafactory-alpaca": (
        ONE_TEXT,
        lambda r: {
            "instruction": text(r, "prompt"),
            "system": "Be brief." if len(r["prompt"]) > 1 else "",
            "chosen": text(r, "chosen"),
            "rejected": text(r, "rejected"),
        },
    ),
    "llamafactory-sharegpt": (
        TAKING_TURNS,
        lambda r: {
            "conversations": spoken(r["prompt"]),
            "chosen": spoken(r["chosen"])[0],
            "rejected": spoken(r["rejected"])[0],
        },
    ),
    "axolotl": (
        hand.pairs(),
        lambda r: {"messages": r["prompt"], "chosen": r["chosen"][0], "rejected": r["rejected"][0]},
    ),
    "axolotl-argilla": (hand.pairs(), lambda r: {"chosen": whole(r, "chosen"), "rejected": whole(r, "rejected")}),
    "nemo-rl": (
        hand.pairs(),
        lambda r: {
            "context": r["prompt"],
            "completions": [{"rank": 0, "completion": r["chosen"]}, {"rank": 1, "completion": r["rejected"]}],
        },
    ),
    "nemo-aligner": (
        SINGLE,
        lambda r: {
            "prompt": text(r, "prompt"),
            "chosen_response": text(r, "chosen"),
            "rejected_response": text(r, "rejected"),
            "chosen_reward": r["score_chosen"],
            "rejected_reward": r["score_rejected"],
        },
    ),
    "tulu": (
        hand.pairs(),
        lambda r: {
            "id": r["pair_id"],
            "prompt": text(r, "prompt"),
            "chosen": whole(r, "chosen"),
            "rejected": whole(r, "rejected"),
            "source": "made by hand",
            "chosen_model": "good, fine",
            "rejected_model": "bad",
            "chosen_rating": r["score_chosen"],
            "rejected_rating": r["score_rejected"],
        },
    ),
    "rewardbench": (
        USER_AND_ASSISTANT,
        lambda r: {"prompt": text(r, "prompt"), "chosen": whole(r, "chosen"), "rejected": whole(r, "rejected")},
    ),
}


@pytest.mark.parametrize("kind", PAIRWISE)
def test_a_pair_comes_back_as_it_was(made: Release, tmp_path: Path, kind: str) -> None:
    held, expected = PAIRWISE[kind]
    assert read(made, tmp_path / "out", kind) == [expected(row) for row in in_file_order(held)]
    stamp = json.loads((tmp_path / "out" / "export.json").read_text())
    assert sum(stamp["left_out"].values()) == len(hand.pairs()) - len(held)


def test_plain_trl_is_bare_text(made: Release, tmp_path: Path) -> None:
    rows = read(made, tmp_path / "out", "trl", plain=True)
    assert [(r["prompt"], r["chosen"], r["rejected"], r["margin"]) for r in rows] == [
        (text(r, "prompt"), text(r, "chosen"), text(r, "rejected"), r["margin"]) for r in in_file_order(SINGLE)
    ]


def test_reference_log_probabilities_are_passed_on(tmp_path: Path) -> None:
    rows = [{**row, "ref_chosen_logps": -1.5, "ref_rejected_logps": -2.5} for row in hand.pairs()]
    made = hand.make(tmp_path / "v1", rows)
    found = read(made, tmp_path / "out", "trl")
    assert {(row["ref_chosen_logps"], row["ref_rejected_logps"]) for row in found} == {(-1.5, -2.5)}
    found = read(made, tmp_path / "kto", "kto")
    assert {(row["label"], row["ref_logps"]) for row in found} == {(True, -1.5), (False, -2.5)}


@pytest.mark.parametrize("kind", ["trl", "kto"])
def test_reference_log_probabilities_with_gaps_stay_behind(tmp_path: Path, kind: str) -> None:
    """TRL stops at one that is null; both splits have the same columns, or `datasets` would not read the folder."""
    rows = [{**row, "ref_chosen_logps": -1.5, "ref_rejected_logps": -2.5} for row in hand.pairs()]
    rows[0]["ref_rejected_logps"] = None
    found = read(hand.make(tmp_path / "v1", rows), tmp_path / "out", kind)
    assert len(found) >= len(rows) and not any(name.startswith("ref_") for row in found for name in row)


def labelled(rows: Rows) -> list[tuple[Rows, str, bool]]:
    """Each response once; the ranked prompt's middle one is chosen and rejected, so it has no label."""
    simple = [row for row in rows if row["prompt"][0]["content"] != "ranked"]
    ranked = [row for row in rows if row not in simple][:1]
    both = [
        (r["prompt"], text(r, side), side == "chosen")
        for r in in_file_order(simple)
        if r["split"] == "train"
        for side in ("chosen", "rejected")
    ]
    several = [(r["prompt"], said, good) for r in ranked for said, good in (("best", True), ("worst", False))]
    return [
        *both,
        *several,
        *(
            (r["prompt"], text(r, s), s == "chosen")
            for r in simple
            if r["split"] == "test"
            for s in ("chosen", "rejected")
        ),
    ]


def test_kto_has_each_response_once_with_its_label(made: Release, tmp_path: Path) -> None:
    rows = read(made, tmp_path / "out", "kto")
    found = [(row["prompt"], row["completion"][0]["content"], row["label"]) for row in rows]
    assert found == labelled(hand.pairs())
    plain = read(made, tmp_path / "plain", "kto", plain=True)
    assert [(r["prompt"], r["completion"], r["label"]) for r in plain] == [
        (p[0]["content"], c, g) for p, c, g in labelled(SINGLE)
    ]


def test_kto_of_the_other_trainers(made: Release, tmp_path: Path) -> None:
    rows = read(made, tmp_path / "lf", "llamafactory-kto")
    wanted = [
        {"conversations": [*spoken(p), {"from": "gpt", "value": c}], "kto_tag": g} for p, c, g in labelled(TAKING_TURNS)
    ]
    assert rows == wanted
    rows = read(made, tmp_path / "ax", "axolotl-kto")
    wanted = [(p[0]["content"], c, g) for p, c, g in labelled(SINGLE)]
    assert [(r["prompt"], r["completion"], r["label"]) for r in rows] == wanted
    led = read(made, tmp_path / "ax", "axolotl-kto", stem="_system")
    assert led == [
        {"system": p[0]["content"], "prompt": p[1]["content"], "completion": c, "label": g}
        for p, c, g in labelled([row for row in ONE_TEXT if row not in SINGLE])
    ]
    stanza = yaml.safe_load((tmp_path / "ax" / "axolotl.yaml").read_text())
    entries = [*stanza["datasets"], *stanza["test_datasets"]]
    assert {entry["path"]: entry["type"]["prompt_format"] for entry in entries} == {
        "train.jsonl": "{prompt}",
        "test.jsonl": "{prompt}",
        "test_system.jsonl": "{system}\n\n{prompt}",
    }


def test_ultrafeedback_has_three_files_a_split(made: Release, tmp_path: Path) -> None:
    prefs = read(made, tmp_path / "out", "ultrafeedback", stem="_prefs")
    assert [(r["prompt_id"], r["chosen"], r["rejected"], r["score_chosen"], r["score_rejected"]) for r in prefs] == [
        (r["prompt_id"], whole(r, "chosen"), whole(r, "rejected"), r["score_chosen"], r["score_rejected"])
        for r in in_file_order(hand.pairs())
    ]
    sft = read(made, tmp_path / "out", "ultrafeedback", stem="_sft")
    assert len(sft) == len({row["prompt_id"] for row in hand.pairs()})
    assert [row["score_chosen"] for row in sft if row["prompt"] == "ranked"] == [2.02]
    assert all(row["messages"] == row["chosen"] for row in sft)


def test_rankings_keep_all_responses_scores_and_ties(made: Release, tmp_path: Path) -> None:
    wanted = [
        {k: row[k] for k in ("prompt", "responses", "scores", "ranks", "soft_targets")} for row in hand.rankings()
    ]
    assert read(made, tmp_path / "out", "ranking") == wanted
    plain = read(made, tmp_path / "plain", "ranking", plain=True)
    assert [row["prompt"] for row in plain] == ["three", "tied best", "all tied"]
    assert plain[2]["responses"] == hand.HOSTILE[:2]


def test_rewardbench_2_puts_tied_best_together_and_leaves_out_the_undecided(made: Release, tmp_path: Path) -> None:
    rows = read(made, tmp_path / "out", "rewardbench-2")
    assert [(r["chosen"], r["rejected"], r["num_correct"], r["total_completions"]) for r in rows] == [
        (["a"], ["b", "c"], 1, 3),
        (["a", "b"], ["c"], 2, 3),
    ]
    assert rows[0]["models"] == ["p, q"] * 3


def test_stepwise_where_the_data_has_steps(tmp_path: Path) -> None:
    lists = hand.rankings(
        steps=lambda texts: [None if text == "b" else ["so", text] for text in texts],
        step_labels=lambda texts: [None if text == "b" else [True, text == "a"] for text in texts],
    )
    found = read(hand.make(tmp_path / "v1", lists=lists), tmp_path / "out", "trl-stepwise")
    assert [(row["prompt"], row["completions"], row["labels"]) for row in found] == [
        *((prompt, ["so", text], [True, text == "a"]) for prompt in ("three", "tied best") for text in ("a", "c")),
        *(("all tied", ["so", text], [True, False]) for text in hand.HOSTILE[:2]),
    ]


def test_steps_come_from_the_source_to_the_stepwise_export(tmp_path: Path) -> None:
    """In long form, in wide form, and as rows that are nothing but steps."""
    solutions = [(["2 + 2 is 4", "so 4"], [True, True]), (["2 + 2 is 5", "so 5"], [0, False]), (["it is 22"], [0])]
    long = [{"problem": "2 + 2?", "steps": steps, "step_labels": labels} for steps, labels in solutions]
    texts = ["\n".join(steps) for steps, _ in solutions]
    wide: dict[str, Any] = {"problem": "2 + 2?", "responses": texts, "how": [steps for steps, _ in solutions]}
    wide["right"] = [labels for _, labels in solutions]
    with_text = [{**row, "response": one} for row, one in zip(long, texts, strict=True)]
    exports = []
    for name, rows, columns in (
        ("steps", long, {}),
        ("texts", with_text, {}),
        ("wide", [wide, {"problem": "3?", "responses": ["a", "bc"]}], {"steps": "how", "step_labels": "right"}),
    ):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
        parts: dict[str, Any] = {"judges": [{"kind": "length"}], "release": {"test_fraction": 0}}
        source = {"source": f"{name}.jsonl", "columns": {"prompt": "problem", **columns}}
        made = build(recipe_of(tmp_path, "", prompts=source, **parts), tmp_path / name)
        exports.append(read(made, tmp_path / f"{name}-out", "trl-stepwise"))
    assert exports[0] == exports[1] == exports[2]
    by_steps = {tuple(row["completions"]): row["labels"] for row in exports[0]}
    assert by_steps == {tuple(steps): [mark == 1 for mark in marks] for steps, marks in solutions}


@pytest.mark.parametrize("kind", ["llamafactory-alpaca", "llamafactory-sharegpt", "llamafactory-kto"])
def test_dataset_info_names_files_and_columns_that_are_there(made: Release, tmp_path: Path, kind: str) -> None:
    out = export(made, format_named(kind), tmp_path / "out").path
    info = json.loads((out / "dataset_info.json").read_text())
    assert list(info) == ["hand_test", "hand_train"]
    for entry in info.values():
        first = json.loads((out / entry["file_name"]).open().readline())
        assert set(entry["columns"].values()) <= set(first)
        assert ("chosen" in first) == bool(entry.get("ranking"))


@pytest.mark.parametrize("kind", ["axolotl", "axolotl-argilla", "axolotl-kto"])
def test_the_stanza_names_files_and_fields_that_are_there(made: Release, tmp_path: Path, kind: str) -> None:
    out = export(made, format_named(kind), tmp_path / "out").path
    stanza = yaml.safe_load((out / "axolotl.yaml").read_text())
    assert stanza["rl"] == ("kto" if kind == "axolotl-kto" else "dpo")
    entry = stanza["datasets"][0]
    first = json.loads((out / entry["path"]).open().readline())
    described = entry["type"] if isinstance(entry["type"], dict) else entry
    assert {value for key, value in described.items() if key.startswith("field_")} <= set(first)


@pytest.mark.parametrize("kind", sorted(kinds("format")))
def test_each_format_says_what_it_loses(kind: str) -> None:
    form = format_named(kind)
    assert form.loses()
    assert form.fits() is None or any("turn" in lost or "prompts" in lost for lost in form.loses())
