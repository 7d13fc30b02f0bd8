"""The pairs that the report shows: drawn by id, kept and dropped, with their texts and rationales."""

from typing import Any

import polars as pl

from pairwright.assets.display.text import shown
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.pairing.sides import with_texts
from pairwright.assets.storage.store import Workspace, scan
from pairwright.schemas.recipe import Recipe

KEPT, DROPPED = 120, 60
"""How many pairs are shown."""
TEXT, RATIONALE = 1_200, 300
"""Characters of a text and of a rationale that are shown."""


def sampled_pairs(recipe: Recipe, workspace: Workspace) -> list[dict[str, Any]]:
    """The pairs to show, as plain values with texts made safe to look at (and still to be escaped)."""
    pairs = _drawn(workspace)
    prompts = scan(workspace.files("prompts")).filter(pl.col("prompt_id").is_in(pairs["prompt_id"].implode()))
    responses = scan(workspace.files("responses")).filter(pl.col("prompt_id").is_in(pairs["prompt_id"].implode()))
    texts = with_texts(pairs, responses).join(
        prompts.select("prompt_id", "messages").collect(), on="prompt_id", how="left", maintain_order="left"
    )
    said = _rationales(recipe, workspace, pairs)
    return [
        {
            "pair_id": row["pair_id"],
            "kept": row["kept"],
            "reason": shown(row["reason"] or "", 200),
            "margin": row["margin"],
            "confidence": row["label_confidence"],
            "prompt": [{"role": turn["role"], "text": block(turn["content"])} for turn in row["messages"][-4:]],
            "sides": [
                {
                    "side": side,
                    "score": row[f"score_{side}"],
                    "text": block(row[side]),
                    "rationales": said.get((row["prompt_id"], row[f"{side}_id"]), []),
                }
                for side in ("chosen", "rejected")
            ],
        }
        for row in texts.iter_rows(named=True)
    ]


def block(text: str, limit: int = TEXT) -> str:
    """Text with its lines kept, control and direction-changing characters made visible, cut to `limit` characters."""
    cut = "\n".join(shown(line, limit) for line in text[:limit].split("\n"))
    return cut[:limit] + "…" if len(text) > limit else cut


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
