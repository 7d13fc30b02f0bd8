"""The rows of a release: kept pairs and rankings with their texts, put together some at a time."""

from collections.abc import Iterator

import polars as pl

from pairwright.assets.judging import likelihood
from pairwright.assets.pairing.filters.difficulty import reference_logprob
from pairwright.assets.pairing.sides import with_likelihoods
from pairwright.assets.releasing.further_columns import further_columns
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan
from pairwright.schemas.recipe import Recipe

PIECE = 16_384
"""Rows put together at a time: texts stay in memory for these only, besides one shard of each table."""


def pairs(recipe: Recipe, workspace: Workspace, shard: Shard, splits: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The kept pairs of a shard, some at a time, with everything that a trainer or a reader wants beside them."""
    pairs = scan([workspace.file("pairs", shard)]).filter("kept")
    pairs = pairs.drop("kept", "reason", *(f"kept_{one.name}" for one in recipe.filters)).sort("prompt_id", "pair_id")
    prompts = _prompts(workspace, shard, splits)
    sides = _responses(workspace, shard, "policies", "text", "scores")
    add_columns = further_columns(recipe, workspace, shard)
    leading = ["pair_id", "prompt_id", "prompt", "chosen", "rejected"]
    for piece in pairs.collect().iter_slices(PIECE):
        frame = piece.join(prompts, on="prompt_id", how="left", maintain_order="left")
        near = _of_prompts(piece, sides)
        for side in ("chosen", "rejected"):
            renamed = {
                "response_id": f"{side}_id",
                "policies": f"{side}_policies",
                "scores": f"{side}_scores",
                "text": side,
            }
            one = near.rename(renamed)
            frame = frame.join(one, on=f"{side}_id", how="left", maintain_order="left")
        frame = _with_reference(recipe, frame, workspace, shard)
        frame = frame.with_columns(chosen=_turn("chosen"), rejected=_turn("rejected"))
        yield add_columns(frame.select(*leading, pl.exclude(leading)), piece)


def rankings(recipe: Recipe, workspace: Workspace, shard: Shard, splits: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rankings of a shard, some at a time, with the texts."""
    rankings = read_table(workspace.file("rankings", shard)).sort("prompt_id")
    prompts = _prompts(workspace, shard, splits)
    steps = _steps(workspace)
    texts = _responses(workspace, shard, "policies", "text", *(["steps"] if steps else []))
    leading = ["prompt_id", "prompt", "responses", "scores", "ranks", "soft_targets"]
    for piece in rankings.iter_slices(PIECE):
        long = piece.select("prompt_id", response_id="response_ids").explode("response_id", empty_as_null=False)
        long = long.join(_of_prompts(piece, texts), on="response_id", how="left", maintain_order="left")
        lists = long.group_by("prompt_id", maintain_order=True).agg(
            responses=_turn("text"), policies="policies", **steps
        )
        frame = piece.join(lists, on="prompt_id", how="left", maintain_order="left")
        frame = frame.join(prompts, on="prompt_id", how="left", maintain_order="left")
        yield frame.select(*leading, pl.exclude(leading))


def _steps(workspace: Workspace) -> dict[str, pl.Expr]:
    """The columns of the responses' steps and their labels, if any response has some."""
    if not scan(workspace.files("responses")).select(pl.col("steps").is_not_null().any()).collect().item():
        return {}
    step = pl.element().struct
    return {
        "steps": pl.col("steps").list.eval(step.field("text")),
        "step_labels": pl.col("steps").list.eval(step.field("right") == 1),
    }


def _prompts(workspace: Workspace, shard: Shard, splits: pl.DataFrame) -> pl.DataFrame:
    prompts = scan([workspace.file("prompts", shard)])
    kept = prompts.select("prompt_id", "source", "license", "domain", prompt="messages")
    return kept.join(splits.lazy(), on="prompt_id", how="left").collect()


def _of_prompts(piece: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """The responses from the first prompt of a piece to its last: to join each piece with a whole shard costs more."""
    ids = piece.get_column("prompt_id")
    return responses.filter(pl.col("prompt_id").is_between(pl.lit(ids.min()), pl.lit(ids.max()))).drop("prompt_id")


def _responses(workspace: Workspace, shard: Shard, *columns: str) -> pl.DataFrame:
    """Columns of the responses and preferences tables of a shard, by prompt_id and response_id."""
    responses = scan([workspace.file("responses", shard)])
    if "scores" in columns:
        scores = scan([workspace.file("preferences", shard)]).select("response_id", "scores")
        responses = responses.join(scores, on="response_id", how="left")
    return responses.select("prompt_id", "response_id", *columns).collect()


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
