"""Scores that a source has: a reward, a rating, a rank."""

from typing import ClassVar, Literal

import polars as pl

from pairwright.judges.given import GIVEN_SCORES, NOTHING_SAID, Given, as_verdicts

KEY = ["prompt_id", "response_id"]


class Score(Given):
    """The scores that sources come with (`scores` and `ranks` under `columns`), as one judge's verdicts.

    Where several responses of a prompt have one and another has none, that one is not ranked.
    """

    kind: Literal["score"] = "score"
    aliases: ClassVar[tuple[str, ...]] = ("rating", "reward", "column")
    given_table: ClassVar[str] = GIVEN_SCORES
    of: str
    """The score's name under `columns: scores`; `rank` for `ranks`."""

    def verdicts(self, said: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
        """One row a response."""
        mine = said.filter(pl.col("name") == self.of).drop("name")
        rows = responses.select(KEY).join(mine, on=KEY, how="left", maintain_order="left")
        silent = pl.col("score").is_null() & pl.col("failure").is_null()
        rows = rows.with_columns(
            failure=pl.when(silent).then(pl.lit(NOTHING_SAID)).otherwise("failure"),
            raw=pl.lit(None, pl.String),
            confidence=pl.lit(None, pl.Float64),
        )
        return as_verdicts(rows, self, "score")
