"""Further columns of a release's pairs: one class each, handed what it declares, and a version of their own."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import pytest
from helpers import build, data_files, recipe_of, wide, write_jsonl

from pairwright.assets.releasing.pair_columns.base import PairColumn
from pairwright.assets.releasing.release import release_basis
from pairwright.schemas.errors import PairwrightError, RecipeError
from pairwright.schemas.options import ReleaseOptions
from pairwright.schemas.recipe import Recipe

HANDED: list[list[str]] = []


class Seen(PairColumn):
    """Notes what it is handed; says how much longer the chosen side is and which tags its prompt has."""

    kind: Literal["test-seen"] = "test-seen"
    reads: ClassVar[tuple[str, ...]] = ("pairs.margin", "prompts.tags", "responses.text", "preferences.rank")
    dtype = pl.String
    wrong: bool = False

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        HANDED.append(pairs.columns)
        size = {side: pl.col(f"{side}_text").str.len_chars().cast(pl.Int64) for side in ("chosen", "rejected")}
        tags, rank = pl.col("tags").list.join("+"), pl.col("rejected_rank") - pl.col("chosen_rank")
        told = pl.format("{} {} {}", size["chosen"] - size["rejected"], tags, rank)
        return pairs.head(1 if self.wrong else pairs.height).select(told.alias("x")).to_series()


ReleaseOptions.model_rebuild(force=True)
Recipe.model_rebuild(force=True)


def released(folder: Path, columns: list[Any], **parts: Any) -> Any:
    rows = [row | {"tags": [f"t{i}"]} for i, row in enumerate(wide(6))]
    write_jsonl(folder / "rows.jsonl", rows)
    return recipe_of(folder, "rows.jsonl", release={"columns": columns, "test_fraction": 0.0, **parts})


def pairs_of(release: Path) -> pl.DataFrame:
    return pl.read_parquet(str(release / "pairs" / "*.parquet"))


def test_a_column_is_handed_what_it_reads_and_stands_beside_each_pair(tmp_path: Path) -> None:
    HANDED.clear()
    recipe = released(tmp_path, ["tags", {"kind": "test-seen", "name": "so-long"}])
    pairs = pairs_of(build(recipe, tmp_path / "data").path)
    declared = ["margin", "tags", "chosen_text", "rejected_text", "chosen_rank", "rejected_rank"]
    assert [declared] * 2 == HANDED, "a shard at a time, and nothing else"
    assert pairs.columns[-2:] == ["tags", "so_long"]
    size = {side: pl.col(side).list.last().struct.field("content").str.len_chars() for side in ("chosen", "rejected")}
    by_hand = pairs.select(size["chosen"].cast(pl.Int64) - size["rejected"].cast(pl.Int64)).to_series().to_list()
    places = [row["prompt"][0]["content"].split(":")[0].removeprefix("question ") for row in pairs.to_dicts()]
    assert pairs.get_column("tags").to_list() == [[f"t{place}"] for place in places]
    assert pairs.get_column("so_long").to_list() == [f"{n} t{p} 3" for n, p in zip(by_hand, places, strict=True)]


def test_a_column_makes_a_version_and_none_leaves_bytes_and_stamp_as_they_were(tmp_path: Path) -> None:
    plain, more = released(tmp_path, []), released(tmp_path, ["finish-reason"])
    assert set(release_basis(plain).options) == {"license", "reference_model", "test_fraction"}
    first = build(plain, tmp_path / "data")
    second = build(more, tmp_path / "data")
    assert (first.version, second.version) == ("v1", "v2")
    assert pairs_of(second.path).drop("finish_reason").equals(pairs_of(first.path))
    assert pairs_of(second.path).schema["finish_reason"] == pl.Struct({"chosen": pl.String, "rejected": pl.String})
    back = build(plain, tmp_path / "data")
    assert data_files(back.path) == data_files(first.path)


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ([{"kind": "test-seen", "wrong": True}], PairwrightError, "column test-seen: 1 values for"),
        ([{"kind": "tags", "name": "margin"}], RecipeError, "the pairs have a column 'margin' already"),
    ],
    ids=["too few values", "a name that is taken"],
)
def test_a_column_that_cannot_be_is_refused_in_a_line(
    columns: list[Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words) as caught:
        build(released(tmp_path, columns), tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not [*(tmp_path / "data").rglob("manifest.json")], "nothing half-written"


def test_what_no_release_reads_is_refused_where_the_class_is_made() -> None:
    with pytest.raises(RecipeError, match=r"Lost.reads names 'prompts.tag'.*prompts\.tags"):

        class Lost(PairColumn):
            kind: Literal["test-lost"] = "test-lost"
            reads: ClassVar[tuple[str, ...]] = ("prompts.tag",)

    with pytest.raises(RecipeError, match=r"release\.columns\[0\].*'tag' is not known"):
        recipe_of(Path(), "x.jsonl", release={"columns": ["tag"]})
