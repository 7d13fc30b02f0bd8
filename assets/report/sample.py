"""The pairs that the report shows: drawn by id, kept and dropped, with their texts and rationales."""

import json
from typing import Any

import polars as pl

from pairwright.assets.display.text import shown
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.pairing.sides import with_texts
from pairwright.assets.report.shown_turns import beside, block, shown_turn
from pairwright.assets.storage.media import FOLDER
from pairwright.assets.storage.store import Workspace, scan
from pairwright.schemas.conversation import turns_of
from pairwright.schemas.recipe import Recipe

KEPT, DROPPED = 120, 60
"""How many pairs are shown."""
RATIONALE = 300
"""Characters of a rationale that are shown."""


def sampled_pairs(recipe: Recipe, workspace: Workspace) -> list[dict[str, Any]]:
    """The pairs to show, as plain values with texts made safe to look at (and still to be escaped)."""
    pairs = _drawn(workspace)
    prompts = scan(workspace.files("prompts")).filter(pl.col("prompt_id").is_in(pairs["prompt_id"].implode()))
    responses = scan(workspace.files("responses")).filter(pl.col("prompt_id").is_in(pairs["prompt_id"].implode()))
    texts = with_texts(pairs, responses).join(
        prompts.select("prompt_id", "messages", "typed").collect(), on="prompt_id", how="left", maintain_order="left"
    )
    said = _rationales(recipe, workspace, pairs)
    more = _beside(responses, pairs)
    media = workspace.root / FOLDER
    return [
        {
            "pair_id": row["pair_id"],
            "kept": row["kept"],
            "reason": shown(row["reason"] or "", 200),
            "margin": row["margin"],
            "confidence": row["label_confidence"],
            "prompt": [shown_turn(turn, media) for turn in turns_of(row["messages"], row["typed"])[-4:]],
            "sides": [
                {
                    "side": side,
                    "score": row[f"score_{side}"],
                    "text": block(row[side]),
                    **beside(more.get(row[f"{side}_id"], {})),
                    "rationales": said.get((row["prompt_id"], row[f"{side}_id"]), []),
                }
                for side in ("chosen", "rejected")
            ],
        }
        for row in texts.iter_rows(named=True)
    ]


def _beside(responses: pl.LazyFrame, pairs: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Response id → its reasoning and calls, where it has some."""
    ids = pl.concat([pairs["chosen_id"], pairs["rejected_id"]]).implode()
    some = pl.col("reasoning").is_not_null() | pl.col("tool_calls").is_not_null()
    found = responses.filter(pl.col("response_id").is_in(ids) & some)
    return {
        key: {"reasoning": reasoning, "tool_calls": json.loads(calls) if calls else None}
        for key, reasoning, calls in found.select("response_id", "reasoning", "tool_calls").collect().iter_rows()
    }


def _drawn(workspace: Workspace) -> pl.DataFrame:
    """The kept and the dropped pairs with the smallest ids (hashes: a draw that stays as data are added)."""
    pairs = scan(workspace.files("pairs"))
    drawn = []
    for kept, count in ((True, KEPT), (False, DROPPED)):
        ids = (
            pairs.filter(pl.col("kept") == kept)
            .select("pair_id")
            .bottom_k(count, by="pair_id")
            .collect(engine="streaming")
        )
        drawn.append(
            pairs.filter(pl.col("pair_id").is_in(ids["pair_id"].implode())).collect(engine="streaming").sort("pair_id")
        )
    return pl.concat(drawn)


def _rationales(
    recipe: Recipe, workspace: Workspace, pairs: pl.DataFrame
) -> dict[tuple[str, str], list[dict[str, str]]]:
    """(prompt_id, response_id) → what judges said of the response; of two responses compared, under both."""
    prompts = pairs["prompt_id"].implode()
    said: dict[tuple[str, str], list[dict[str, str]]] = {}
    for judge in judges_of(recipe):
        rows = scan(workspace.files(verdicts_table(judge)))
        sides = [name for name in ("response_id", "response_a", "response_b") if name in rows.collect_schema()]
        found = (
            rows.filter(pl.col("prompt_id").is_in(prompts) & pl.col("rationale").is_not_null())
            .filter(pl.col("round") == pl.col("round").max().over("prompt_id", *sides, "criterion"))
            .select("prompt_id", "criterion", "rationale", *sides)
            .collect()
            .sort("prompt_id", *sides, "criterion")
        )
        for row in found.iter_rows(named=True):
            text = {
                "judge": judge.name,
                "criterion": shown(row["criterion"], 60),
                "text": shown(row["rationale"], RATIONALE),
            }
            for side in sides:
                said.setdefault((row["prompt_id"], row[side]), []).append(text)
    return {key: rationales[:4] for key, rationales in said.items()}
