"""Merging rows of the same prompt, and equal texts; of rows that contradict each other, rejects."""

from typing import Any

import polars as pl

from pairwright.assets.columns import TEXTS
from pairwright.assets.splits import sketches
from pairwright.schemas.ids import references_id
from pairwright.schemas.tables import Responses, types

ATTRIBUTES = ("references", "tags", *TEXTS)
"""What a row says of its prompt besides the conversation."""


def said() -> list[pl.Expr]:
    """One text per attribute, null where the row says nothing of it, to compare rows of the same prompt by."""
    lists = [
        pl.when(pl.col(name).list.len() > 0)
        .then(pl.col(name).list.eval(pl.format("{}:{}", pl.element().str.len_bytes(), pl.element())).list.join(""))
        .alias(f"_{name}")
        for name in ("references", "tags")
    ]
    return [*lists, *(pl.col(name).alias(f"_{name}") for name in TEXTS)]


def merged(rows: pl.DataFrame, answers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Merge rows of the same prompt. Of conflicting ones, those with the smallest content stay, whatever the order."""
    keys = [f"_{name}" for name in ATTRIBUTES]
    rows = rows.with_columns(said())
    differs = [pl.col(key) != pl.col(f"{key}!") for key in keys]
    names = [pl.when(one).then(pl.lit(key[1:])) for key, one in zip(keys, differs, strict=True)]
    reason = pl.format("the same prompt came with other {}", pl.concat_str(names, separator=", ", ignore_nulls=True))
    conflict = pl.any_horizontal(differs).fill_null(False)
    rows = rows.join(_agreed(rows, keys), on="prompt_id").with_columns(reason=pl.when(conflict).then(reason))
    rows = rows.select(pl.exclude(r"^_.*$"))
    out = rows.filter(pl.col("reason").is_not_null())
    why = out.select("prompt_id", "variant", "reason", "excerpt").unique(["prompt_id", "variant"])
    homeless = answers.join(rows, on="prompt_id", how="anti")
    lost = answers.drop("excerpt").join(why, on=["prompt_id", "variant"])
    nobody = homeless.with_columns(reason=pl.lit("no prompt of the prompts source has this text"))
    columns = {"source": pl.col("part")} | {name: pl.col(name) for name in ("row", "reason", "excerpt", "origin")}
    rejected = pl.concat([one.select(**columns) for one in (out, lost, nobody)]).unique()
    kept = answers.join(why, on=["prompt_id", "variant"], how="anti").join(rows, on="prompt_id", how="semi")
    return _merged_prompts(rows.filter(pl.col("reason").is_null())), _merged_responses(kept), rejected


def _agreed(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Per prompt, `<key>!`: the content that stays, so that at least one of its rows has it.

    Where rows differ, key after key, those without the smallest one leave.
    """
    smallest, largest = (pl.col(keys).min().name.suffix("!"), pl.col(keys).max().name.suffix("?"))
    spread = rows.group_by("prompt_id").agg(smallest, largest)
    peaceful = ~pl.any_horizontal([pl.col(f"{key}!") != pl.col(f"{key}?") for key in keys]).fill_null(False)
    left = rows.join(spread.filter(~peaceful), on="prompt_id", how="semi").select("prompt_id", *keys)
    for key in keys:
        left = left.filter((pl.col(key) == pl.col(key).min().over("prompt_id")).fill_null(True))
    fought = left.group_by("prompt_id").agg(pl.col(keys).min().name.suffix("!"))
    return pl.concat([spread.filter(peaceful).select("prompt_id", pl.col(r"^.*!$")), fought])


def _merged_prompts(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a prompt: each attribute from the first row that says something of it."""
    empty_is_null = [
        pl.when(pl.col(name).list.len() > 0).then(pl.col(name)).alias(name) for name in ("references", "tags")
    ]
    prompts = (
        rows.sort("prompt_id", "origin", "part", "row")
        .with_columns(empty_is_null)
        .group_by("prompt_id", maintain_order=True)
        .agg(pl.col("messages").first(), *(pl.col(name).drop_nulls().first() for name in ATTRIBUTES))
        .with_columns(pl.col("references", "tags").fill_null([]))
    )
    ids = [references_id(texts) for texts in prompts.get_column("references").to_list()]
    prompts = prompts.with_columns(pl.Series("references_id", ids, pl.String))
    text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join(" ")
    return prompts.join(sketches(prompts.select("prompt_id", text=text)), on="prompt_id", maintain_order="left")


def _merged_responses(answers: pl.DataFrame) -> pl.DataFrame:
    """One row a distinct text, with everyone who wrote it and how often."""
    nothing: dict[str, Any] = {
        name: pl.lit(None, dtype)
        for name, dtype in types(Responses).items()
        if name in {"sampling", "logprob", "finish_reason", "prompt_tokens", "completion_tokens"}
    }
    return (
        answers.sort("prompt_id", "origin", "part", "row")
        .group_by("prompt_id", "response_id")
        .agg(
            pl.col("text").first(),
            pl.col("steps").drop_nulls().first(),
            policies=pl.col("policy").unique().sort(),
            sample_count=pl.len().cast(pl.UInt32),
        )
        .with_columns(**nothing)
        .sort("prompt_id", "response_id")
    )
