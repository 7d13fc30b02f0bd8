"""The rows of one shard of a release: kept pairs and rankings with their texts, put together some at a time.

They follow from the shard's own tables and the fits alone, so that shards can be made in any order, by any worker.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from pairwright.assets.intake.splits import SPLITS_TABLE
from pairwright.assets.judging import likelihood
from pairwright.assets.pairing.filters.difficulty import reference_logprob
from pairwright.assets.pairing.sides import with_likelihoods
from pairwright.assets.releasing.further_columns import further_columns
from pairwright.assets.releasing.tally import Tally, tally_pairs, tally_rankings
from pairwright.assets.stages.basis import Inputs
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan
from pairwright.schemas.recipe import Recipe

PIECE = 16_384
"""Rows put together at a time: texts stay in memory for these only, besides one shard of each table."""
PAIRS, RANKINGS = "pairs", "rankings"
CONTENT = (PAIRS, RANKINGS)
"""The tables of a release."""
OPTIONAL = {"prompts": ["typed", "tools"], "responses": ["steps", "reasoning", "tool_calls"]}
"""Columns of tables that a release has where any row has something in them."""


class Piece(NamedTuple):
    """Some rows of a table of a release, in the order in which they are released, with their `split`."""

    table: str
    rows: pl.DataFrame
    tally: Tally


class _Beside(NamedTuple):
    """What a shard's rows are joined with."""

    prompts: pl.DataFrame
    responses: pl.DataFrame
    """Sorted by prompt_id."""


def shard_rows(recipe: Recipe, inputs: Inputs, shard: Shard, optional: Sequence[str], *tables: str) -> Iterator[Piece]:
    """A shard's rows of `tables`, by default of all: first the kept pairs, then the rankings, each by prompt_id.

    `optional`: those of OPTIONAL that any row of the data set has, which decides on columns of all rows.
    """
    beside = _Beside(_prompts(inputs, shard, optional), _responses(inputs, shard, optional))
    if not tables or PAIRS in tables:
        yield from (Piece(PAIRS, rows, tally_pairs(rows)) for rows in _pairs(recipe, inputs, shard, beside))
    if not tables or RANKINGS in tables:
        yield from (Piece(RANKINGS, rows, tally_rankings(rows)) for rows in _rankings(inputs, shard, beside))


def optional_columns(inputs: Inputs) -> list[str]:
    """Those of OPTIONAL that any row of the data set has."""
    found = []
    for table, names in OPTIONAL.items():
        any_row = scan(inputs.files(table)).select(pl.col(names).is_not_null().any()).collect().row(0, named=True)
        found += [name for name in names if any_row[name]]
    return found


def _pairs(recipe: Recipe, inputs: Inputs, shard: Shard, beside: _Beside) -> Iterator[pl.DataFrame]:
    """The kept pairs with everything that a trainer or a reader wants beside them."""
    pairs = scan([inputs.file("pairs", shard)]).filter("kept")
    pairs = pairs.drop("kept", "reason", *(f"kept_{one.name}" for one in recipe.filters))
    add_columns = further_columns(recipe, inputs, shard)
    leading = ["pair_id", "prompt_id", "prompt", "chosen", "rejected"]
    for piece in _in_order(pairs.collect(), "prompt_id", "pair_id").iter_slices(PIECE):
        frame = piece.join(beside.prompts, on="prompt_id", how="left", maintain_order="left")
        near = _of_prompts(piece, beside.responses)
        more = [name for name in ("reasoning", "tool_calls") if name in near.columns]
        for side in ("chosen", "rejected"):
            one = near.select(
                pl.col("response_id").alias(f"{side}_id"),
                pl.col("policies").alias(f"{side}_policies"),
                pl.col("text").alias(side),
                pl.col("scores").alias(f"{side}_scores"),
                *(pl.col(name).alias(f"{side}_{name}") for name in more),
            )
            frame = frame.join(one, on=f"{side}_id", how="left", maintain_order="left")
        frame = _with_reference(recipe, frame, inputs, shard)
        frame = frame.with_columns(chosen=_turn("chosen"), rejected=_turn("rejected"))
        yield add_columns(frame.select(*leading, pl.exclude(leading)), piece)


def _rankings(inputs: Inputs, shard: Shard, beside: _Beside) -> Iterator[pl.DataFrame]:
    """The rankings with the texts."""
    rankings = _in_order(read_table(inputs.file("rankings", shard)), "prompt_id")
    more: dict[str, str | pl.Expr] = {
        name: name for name in ("reasoning", "tool_calls") if name in beside.responses.columns
    }
    more |= _steps() if "steps" in beside.responses.columns else {}
    texts = beside.responses.drop("scores")
    leading = ["prompt_id", "prompt", "responses", "scores", "ranks", "soft_targets"]
    for piece in rankings.iter_slices(PIECE):
        long = piece.select("prompt_id", response_id="response_ids").explode("response_id", empty_as_null=False)
        long = long.join(_of_prompts(piece, texts), on="response_id", how="left", maintain_order="left")
        lists = long.group_by("prompt_id", maintain_order=True).agg(
            responses=_turn("text"), policies="policies", **more
        )
        frame = piece.join(lists, on="prompt_id", how="left", maintain_order="left")
        frame = frame.join(beside.prompts, on="prompt_id", how="left", maintain_order="left")
        yield frame.select(*leading, pl.exclude(leading))


def _steps() -> dict[str, pl.Expr]:
    """The columns of the responses' steps and their labels."""
    step = pl.element().struct
    return {
        "steps": pl.col("steps").list.eval(step.field("text")),
        "step_labels": pl.col("steps").list.eval(step.field("right") == 1),
    }


def _prompts(inputs: Inputs, shard: Shard, optional: Sequence[str]) -> pl.DataFrame:
    """What stands beside each row, with its split."""
    more = [name for name in OPTIONAL["prompts"] if name in optional]
    prompts = scan([inputs.file("prompts", shard)]).select(
        "prompt_id", "source", "license", "domain", *more, prompt="messages"
    )
    rows = prompts.collect()
    splits = scan([inputs.fit_file(SPLITS_TABLE)]).filter(_between(rows.get_column("prompt_id")))
    return rows.join(splits.collect(), on="prompt_id", how="left")


def _responses(inputs: Inputs, shard: Shard, optional: Sequence[str]) -> pl.DataFrame:
    """A shard's responses with every judge's score, sorted by prompt_id."""
    more = [name for name in OPTIONAL["responses"] if name in optional]
    columns = ["prompt_id", "response_id", "policies", "text", *more]
    scores = scan([inputs.file("preferences", shard)]).select("response_id", "scores")
    responses = scan([inputs.file("responses", shard)]).select(columns)
    return _in_order(responses.join(scores, on="response_id", how="left", maintain_order="left").collect(), "prompt_id")


def _in_order(rows: pl.DataFrame, *ids: str) -> pl.DataFrame:
    """Rows by their ids, which they mostly are already."""
    key = rows.select(pl.concat_str(ids)).to_series()
    return rows if key.is_sorted() else rows.sort(*ids, maintain_order=True)


def _between(ids: pl.Series) -> pl.Expr:
    return pl.col("prompt_id").is_between(pl.lit(ids.min()), pl.lit(ids.max()))


def _of_prompts(piece: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """The responses from the first prompt of a piece to its last: to join each piece with a whole shard costs more."""
    ids, own = responses.get_column("prompt_id"), piece.get_column("prompt_id")
    start, end = ids.search_sorted(own[0], side="left"), ids.search_sorted(own[-1], side="right")
    return responses[int(start) : int(end)].drop("prompt_id")


def _turn(text: str) -> pl.Expr:
    """A conversation of the assistant's one turn."""
    return pl.concat_list(pl.struct(role=pl.lit("assistant"), content=pl.col(text)))


def _with_reference(recipe: Recipe, frame: pl.DataFrame, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """With the reference model's log-probabilities of both sides, null where it could not read one."""
    need = likelihood.reference_need(recipe)
    if need is None:
        return frame
    columns = {f"ref_{side}_logps": reference_logprob(f"likelihood_{side}") for side in ("chosen", "rejected")}
    read = with_likelihoods(frame, need, workspace, shard).with_columns(**columns)
    return read.drop("likelihood_chosen", "likelihood_rejected")
