"""The planner of judges that compare: which pairs of a prompt's responses one is asked about. What a verdict says does
not depend on it, so another plan keeps all verdicts that there are."""

from typing import Any, Literal, NamedTuple

import polars as pl

from pairwright.schemas.ids import digest

GUIDE = "guide"
"""Column of another judge's scores, where they say which pairs are asked."""


class PairPlan(NamedTuple):
    """Which pairs a judge is asked about."""

    pairs: Literal["sampled", "all", "adjacent"] = "sampled"
    """sampled: some for each response, which connect all. all: n(n−1)/2. adjacent: n−1, by the scores of a guide."""
    per_response: int = 2
    """Of `sampled`: at most this times n pairs of n responses."""
    seed: int = 0
    """Of `sampled`: of the draw, which depends on it and on content ids alone."""
    guided_by: str | None = None
    """Of `adjacent`: the name of the judge whose scores order the responses."""

    def chosen(self, responses: pl.DataFrame) -> pl.DataFrame:
        """The pairs among responses (prompt_id, response_id and, where it is known, GUIDE): prompt_id, response_a <
        response_b, sorted."""
        if self.pairs == "adjacent":
            return neighbours(responses)
        return circulant(responses, self.seed, None if self.pairs == "all" else self.per_response)

    def told(self) -> dict[str, Any]:
        """What of it is not as usual: a table made from these verdicts follows from it. The seed is told by the
        judge's fingerprint, the guide by its own."""
        if self.pairs != "sampled":
            return {"pairs": self.pairs}
        usual = type(self)().per_response
        return {} if self.per_response == usual else {"pairs_per_response": self.per_response}


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
