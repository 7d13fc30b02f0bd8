"""From comparisons to one score per response: Bradley-Terry strengths within each prompt."""

import numpy as np
import polars as pl

PRIOR = 0.5
"""Wins and losses of each response against an imagined average one: keeps the strength of one that wins all finite."""
ROUNDS = 200
TOLERANCE = 1e-10


def strengths(responses: pl.DataFrame, compared: pl.DataFrame) -> pl.DataFrame:
    """prompt_id, response_id, score, failure for each response.

    `compared` has prompt_id, response_a, response_b, p_a and failure for every pair that is wanted; a p_a between 0
    and 1 counts as that share of a win. The score is the log of the Bradley-Terry strength (Bradley and Terry, 1952),
    with PRIOR. A response whose comparisons do not connect it to most of its prompt's responses gets none, with the
    reason: strengths of separate groups say nothing of each other.
    """
    ids = responses.select("prompt_id", "response_id").sort("prompt_id", "response_id")
    placed = ids.with_columns(place=pl.int_range(pl.len()).over("prompt_id"), count=pl.len().over("prompt_id"))
    side = placed.select("prompt_id", "response_id", "place")
    edges = compared.drop_nulls("p_a")
    for name in ("a", "b"):
        one = side.rename({"response_id": f"response_{name}", "place": name})
        edges = edges.join(one, on=["prompt_id", f"response_{name}"], how="inner")
    edges = edges.select("prompt_id", "a", "b", "p_a").sort("prompt_id", "a", "b")
    scores = []
    for (count,), group in placed.partition_by("count", as_dict=True, maintain_order=True).items():
        prompts = group.get_column("prompt_id").unique(maintain_order=True)
        number = pl.DataFrame({"prompt_id": prompts, "prompt": np.arange(len(prompts))})
        mine = edges.join(number, on="prompt_id", how="inner")
        wins = np.zeros((len(prompts), int(str(count)), int(str(count))))
        index = [mine.get_column(name).to_numpy() for name in ("prompt", "a", "b")]
        p_a = mine.get_column("p_a").to_numpy()
        wins[index[0], index[1], index[2]] = p_a
        wins[index[0], index[2], index[1]] = 1.0 - p_a
        logs = _log_strengths(wins)
        scores.append(
            group.select("prompt_id", "response_id").with_columns(score=pl.Series(logs.ravel()).fill_nan(None))
        )
    found = pl.concat([ids.clear().with_columns(score=pl.lit(None, pl.Float64)), *scores])
    return _with_reasons(responses, found, compared)


def _log_strengths(wins: np.ndarray) -> np.ndarray:
    """Log strengths [prompt, response], NaN outside the main group. Of two responses, each result is reckoned once."""
    if wins.shape[1] != 2:
        return np.where(_main_group(wins), _fit(wins), np.nan)
    result = np.where(wins.sum((1, 2)) > 0, wins[:, 0, 1], -1.0)
    _, first, of = np.unique(result, return_index=True, return_inverse=True)
    few = wins[first]
    return np.asarray(np.where(_main_group(few), _fit(few), np.nan)[of])


def _fit(wins: np.ndarray) -> np.ndarray:
    """Log strengths [prompt, response] from wins [prompt, winner, loser] by minorise-maximise (Hunter, 2004)."""
    games = wins + wins.swapaxes(1, 2)
    total = wins.sum(2) + PRIOR
    strength = np.ones(total.shape)
    moving = np.ones(len(total), dtype=bool)  # each prompt stops by itself, so that others cannot change its bits
    for _ in range(ROUNDS):
        expected = (games / (strength[:, :, None] + strength[:, None, :])).sum(2) + 2 * PRIOR / (strength + 1.0)
        new = np.where(moving[:, None], total / expected, strength)
        moving &= np.abs(np.log(new / strength)).max(axis=1, initial=0.0) > TOLERANCE
        strength = new
        if not moving.any():
            break
    return np.log(strength)


def _main_group(wins: np.ndarray) -> np.ndarray:
    """Whether each response [prompt, response] is in the largest group that comparisons connect, of two or more."""
    linked = (wins + wins.swapaxes(1, 2)) > 0
    reach = linked | np.eye(wins.shape[1], dtype=bool)
    for _ in range(max(1, wins.shape[1].bit_length())):
        reach = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
    size = reach.sum(2)
    best = size.argmax(1)
    return np.asarray(reach[np.arange(len(reach)), best] & (size.max(1) > 1)[:, None])


def _with_reasons(responses: pl.DataFrame, scores: pl.DataFrame, compared: pl.DataFrame) -> pl.DataFrame:
    sides = pl.concat(
        [
            compared.select("prompt_id", pl.col(f"response_{name}").alias("response_id"), "failure")
            for name in ("a", "b")
        ]
    )
    why = sides.group_by("prompt_id", "response_id").agg(why=pl.col("failure").drop_nulls().sort().first())
    reason = pl.coalesce("why", pl.lit("no comparison connects it to the prompt's other responses"))
    return (
        responses.select("prompt_id", "response_id")
        .join(scores, on=["prompt_id", "response_id"], how="left", maintain_order="left")
        .join(why, on=["prompt_id", "response_id"], how="left", maintain_order="left")
        .with_columns(failure=pl.when(pl.col("score").is_null()).then(reason))
        .drop("why")
    )
