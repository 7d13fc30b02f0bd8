"""Which pairs of a prompt's responses are compared."""

import polars as pl

from pairwright.judges.base import GUIDE
from pairwright.schemas.ids import digest


def circulant(responses: pl.DataFrame, seed: int, per_response: int | None) -> pl.DataFrame:
    """Pairs to compare: prompt_id, response_a < response_b, sorted.

    Responses stand in a circle, in an order drawn by seed, and each is compared with the `per_response` that follow
    it: at most per_response · n pairs, which connect all n, each response in the same number of pairs. None: all.
    """
    key = pl.lit(int(digest("circle", str(seed), size=7), 16), pl.UInt64)
    number = pl.col("response_id").str.slice(0, 14).str.to_integer(base=16, dtype=pl.UInt64) ^ key
    placed = (
        responses.select("prompt_id", "response_id", _number=(number * 0x9E3779B97F4A7C15) ^ (number // 2**29))
        .with_columns(
            place=pl.struct("_number", "response_id").rank("ordinal").over("prompt_id").cast(pl.Int64) - 1,
            count=pl.len().over("prompt_id").cast(pl.Int64),
        )
        .select("prompt_id", "response_id", "place", "count")
    )
    others = placed.select("prompt_id", other="response_id", other_place="place")
    ahead = (pl.col("other_place") - pl.col("place")) % pl.col("count")
    pairs = placed.join(others, on="prompt_id").filter(pl.col("response_id") != pl.col("other"))
    if per_response is not None:
        pairs = pairs.filter(ahead <= per_response)
    return (
        pairs.select(
            "prompt_id",
            response_a=pl.min_horizontal("response_id", "other"),
            response_b=pl.max_horizontal("response_id", "other"),
        )
        .unique()
        .sort("prompt_id", "response_a", "response_b")
    )


def neighbours(responses: pl.DataFrame) -> pl.DataFrame:
    """Each response with the next one by another judge's score: prompt_id, response_a < response_b, sorted.

    Best score first, none last, equal ones by id: n−1 pairs, which connect all n. Without the column GUIDE, as in a
    plan, no score is known.
    """
    score = pl.col(GUIDE) if GUIDE in responses.columns else pl.lit(None, pl.Float64)
    ordered = responses.select("prompt_id", "response_id", _score=score).sort(
        "prompt_id", "_score", "response_id", descending=[False, True, False], nulls_last=True
    )
    following = ordered.with_columns(other=pl.col("response_id").shift(-1).over("prompt_id")).drop_nulls("other")
    return following.select(
        "prompt_id",
        response_a=pl.min_horizontal("response_id", "other"),
        response_b=pl.max_horizontal("response_id", "other"),
    ).sort("prompt_id", "response_a", "response_b")
