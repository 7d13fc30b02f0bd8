"""Labels that a source has: which of two responses somebody preferred."""

from typing import Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from pairwright.judges.given import LABELS, Given, as_verdicts

PAIR = ["prompt_id", "response_a", "response_b"]


class Label(Given):
    """The preferences that sources come with (`chosen`, or `label`, under `columns`), as one judge's verdicts.

    `p_a` is the share of the annotators who preferred the first response, a tie counting one half. Responses get the
    Bradley-Terry strengths of their prompt's comparisons.
    """

    kind: Literal["label"] = "label"
    aliases: ClassVar[tuple[str, ...]] = ("human", "annotator", "preference", "gold")
    given_table: ClassVar[str] = LABELS
    asks_about: ClassVar[Literal["response", "pair", "prompt"]] = "pair"
    annotators: Annotated[list[str], Field(default=[])]
    """Only what these say; empty: all of them. To weigh people apart, name a judge for each."""

    def verdicts(self, said: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
        """One row a pair."""
        if self.annotators:
            said = said.filter(pl.col("annotator").is_in(self.annotators))
        repeated = pl.struct(PAIR).is_duplicated()
        alone = said.filter(~repeated).select(
            *PAIR, "p_a", "failure", confidence=pl.lit(None, pl.Float64), raw="annotator"
        )
        votes = pl.col("p_a").drop_nulls()
        several = (
            said.filter(repeated)
            .sort(*PAIR, "annotator")
            .group_by(PAIR, maintain_order=True)
            .agg(
                p_a=votes.sum() / votes.len(),  # of halves, which add up exactly
                failure=pl.col("failure").drop_nulls().first(),
                confidence=votes.unique_counts().max() / votes.len(),
                raw=pl.format("{}: {}", "annotator", "p_a").filter(pl.col("p_a").is_not_null()).str.join(", "),
            )
            .with_columns(pl.col("p_a", "confidence").fill_nan(None))
        )
        several = several.with_columns(failure=pl.when(pl.col("p_a").is_null()).then("failure"))
        rows = pl.concat([alone, several.select(alone.columns)]).sort(PAIR)
        return as_verdicts(rows.with_columns(per_order=pl.lit([], pl.List(pl.Float64))), self, "label")
