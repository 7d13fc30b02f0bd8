"""Merging rows of the same prompt, and equal texts. All responses stay; where rows disagree, rules settle on one word.

Of references and tags the union stands, the lists in the order of their contents. Of a split the one furthest from
training stands. Of the rest, attribute after attribute, the rows with the smallest content have the say. So the order
of rows does not matter, and tests, source, license and domain of a prompt come from rows that agree with each other.
"""

from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.intake.columns import TEXTS
from pairwright.assets.intake.splits import SPLITS, sketches
from pairwright.schemas.ids import references_ids
from pairwright.schemas.tables import Responses, types

LISTS = ("references", "tags")
SINGLE = tuple(name for name in TEXTS if name != "split")
GIVEN = ("text", "reasoning", "tool_calls", "steps")
"""What a row says of a response."""
ATTRIBUTES = (*LISTS, *TEXTS)
"""What a row says of its prompt besides the conversation."""


class Merged(NamedTuple):
    """A shard's tables, and what is told of the rows behind them."""

    prompts: pl.DataFrame
    responses: pl.DataFrame
    rejects: pl.DataFrame
    """Responses to prompts that no row of the prompts' source has."""
    notices: pl.DataFrame
    """Rows that say other things of their prompt than what stands."""


def said() -> list[pl.Expr]:
    """One text per attribute, null where the row says nothing of it, to compare rows of the same prompt by."""
    lists = [
        pl.when(pl.col(name).list.len() > 0)
        .then(pl.col(name).list.eval(pl.format("{}:{}", pl.element().str.len_bytes(), pl.element())).list.join(""))
        .alias(f"_{name}")
        for name in LISTS
    ]
    return [*lists, *(pl.col(name).alias(f"_{name}") for name in TEXTS)]


def merged(rows: pl.DataFrame, answers: pl.DataFrame) -> Merged:
    """Merge the rows of each prompt, and its responses."""
    repeated = pl.col("prompt_id").is_duplicated()
    alone, several = rows.filter(~repeated), rows.filter(repeated).with_columns(said())
    settled = _settled(several)
    keys = [f"_{name}" for name in ATTRIBUTES]
    differs = [pl.col(key) != pl.col(f"{key}!") for key in keys]
    names = [pl.when(one).then(pl.lit(key[1:])) for key, one in zip(keys, differs, strict=True)]
    reason = pl.format("the same prompt came with other {}", pl.concat_str(names, separator=", ", ignore_nulls=True))
    told = several.join(settled, on="prompt_id").with_columns(reason=reason)
    told = told.filter(pl.any_horizontal(differs).fill_null(False))
    why = told.select("prompt_id", "variant", "reason", "excerpt").unique(["prompt_id", "variant"])
    again = answers.drop("excerpt").join(why, on=["prompt_id", "variant"])
    nobody = answers.join(rows, on="prompt_id", how="anti")
    homed = answers.join(rows, on="prompt_id", how="semi") if nobody.height else answers
    nobody = nobody.with_columns(reason=pl.lit("no prompt of the prompts source has this text"))
    columns = {"source": pl.col("part")} | {name: pl.col(name) for name in ("row", "reason", "excerpt", "origin")}
    attributes = ["prompt_id", "messages", "typed", "tools", *ATTRIBUTES]
    prompts = pl.concat([alone.select(attributes), _merged_prompts(several, settled).select(attributes)])
    return Merged(
        _named(prompts.sort("prompt_id")),
        _merged_responses(homed),
        nobody.select(**columns).unique(),
        pl.concat([one.select(**columns) for one in (told, again)]).unique(),
    )


def _settled(rows: pl.DataFrame) -> pl.DataFrame:
    """Per prompt, `<key>!`: the content of each attribute that stands; of lists, the one that comes first.

    Where rows differ, key after key, those without the smallest content have no say in what follows.
    """
    keys = [f"_{name}" for name in (*LISTS, *SINGLE)]
    smallest, largest = (pl.col(keys).min().name.suffix("!"), pl.col(keys).max().name.suffix("?"))
    split = pl.coalesce(pl.when((pl.col("_split") == name).any()).then(pl.lit(name)) for name in reversed(SPLITS))
    spread = rows.group_by("prompt_id").agg(smallest, largest, split.alias("_split!"))
    peaceful = ~pl.any_horizontal([pl.col(f"{key}!") != pl.col(f"{key}?") for key in keys]).fill_null(False)
    left = rows.join(spread.filter(~peaceful), on="prompt_id", how="semi").select("prompt_id", *keys)
    lists = [pl.col(f"_{name}").min().over("prompt_id").alias(f"_{name}!") for name in LISTS]
    left = left.with_columns(lists)
    for key in keys:
        left = left.filter((pl.col(key) == pl.col(key).min().over("prompt_id")).fill_null(True))
    single = [pl.col(f"_{name}").min().alias(f"_{name}!") for name in SINGLE]
    fought = left.group_by("prompt_id").agg(*(pl.col(f"_{name}!").first() for name in LISTS), *single)
    fought = fought.join(spread.select("prompt_id", "_split!"), on="prompt_id")
    return pl.concat([spread.filter(peaceful).select(fought.columns), fought])


def _merged_prompts(rows: pl.DataFrame, settled: pl.DataFrame) -> pl.DataFrame:
    """One row a prompt, with the attributes that were settled on."""
    stands = [pl.col(f"_{name}!").alias(name) for name in TEXTS]
    prompts = rows.group_by("prompt_id").agg(pl.col("messages", "typed", "tools").first())
    prompts = prompts.join(settled.select("prompt_id", *stands), on="prompt_id")
    for name in LISTS:
        prompts = prompts.join(_union(rows, name), on="prompt_id", how="left")
    return prompts


def _named(prompts: pl.DataFrame) -> pl.DataFrame:
    """Merged prompts with the id of their references and the sketch of their words."""
    prompts = prompts.with_columns(pl.col(LISTS).fill_null([]))
    prompts = prompts.with_columns(references_ids(prompts.get_column("references")).alias("references_id"))
    text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join(" ")
    made = sketches(prompts.select("prompt_id", text=text))
    return prompts.join(made, on="prompt_id", maintain_order="left")


def _union(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """A prompt's one list as it is, or of several all that stands in any of them, each text once."""
    distinct = rows.filter(pl.col(f"_{name}").is_not_null()).unique(["prompt_id", f"_{name}"])
    alone = pl.len().over("prompt_id") == 1
    several = (
        distinct.filter(~alone)
        .sort("prompt_id", f"_{name}")
        .group_by("prompt_id", maintain_order=True)
        .agg(pl.col(name).explode().unique(maintain_order=True))
    )
    return pl.concat([distinct.filter(alone).select("prompt_id", name), several])


def _merged_responses(answers: pl.DataFrame) -> pl.DataFrame:
    """One row a distinct text, with everyone who wrote it and how often; of steps, the smallest content stands."""
    nothing: dict[str, Any] = {
        name: pl.lit(None, dtype)
        for name, dtype in types(Responses).items()
        if name not in {*GIVEN, "prompt_id", "response_id", "policies", "sample_count"}
    }
    key = ["prompt_id", "response_id"]
    repeated = pl.col("response_id").is_duplicated()  # the id names its prompt, too
    alone = answers.filter(~repeated).select(
        *key, *GIVEN, policies=pl.concat_list("policy"), sample_count=pl.lit(1, pl.UInt32)
    )
    step = pl.element().struct
    told = pl.format("{}:{}{}", step.field("text").str.len_bytes(), step.field("text"), step.field("right"))
    several = (
        answers.filter(repeated)
        .with_columns(_steps=pl.col("steps").list.eval(told).list.join(""))
        .sort("prompt_id", "_steps", nulls_last=True)
        .group_by(key)
        .agg(
            pl.col(GIVEN).first(),
            policies=pl.col("policy").unique().sort(),
            sample_count=pl.len().cast(pl.UInt32),
        )
    )
    return pl.concat([alone, several]).with_columns(**nothing).sort(key)
