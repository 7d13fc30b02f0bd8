"""Follow-up likelihood as a reward (FLR): a good answer makes a pleased reply of the user more probable.

The mean log-probability per token of each remark as the user's next turn; pleased minus displeased remarks. One pass
reads all 120 remarks behind a response's stored prefix.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from pairwright.judges.base import Batch, Judge
from pairwright.judges.means import exact_mean
from pairwright.judges.utterances import REMARKS
from pairwright.models.local.request import PassRequest, rows_of, utterance_id
from pairwright.schemas.models import CausalModel

OVERALL = "overall"


class FollowUp(Judge):
    """Scores a response by what a user is likely to say next, on six dimensions and overall."""

    kind: Literal["follow-up"] = "follow-up"
    version: ClassVar[int] = 1
    model: CausalModel
    """Reads the dialogue."""
    remarks: Annotated[int, Field(ge=1, le=10)] = 10
    """Remarks read of each of the twelve lists; the cost is in proportion."""

    def needs(self) -> tuple[PassRequest, ...]:
        """All remarks behind each response."""
        return (self._need(),)

    def headline(self) -> str:
        """The mean over the dimensions."""
        return OVERALL

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Seven rows a response, in nats per token; one with the reason where there was no room for the remarks."""
        rows = rows_of(work.responses, self._need(), work.likelihoods)
        heard = rows.filter(pl.col("failure").is_null() & (pl.col("follow_ups").list.len() > 0))
        means = (
            heard.select("prompt_id", "response_id", "follow_ups")
            .explode("follow_ups")
            .unnest("follow_ups")
            .join(_remarks(self.remarks), on="utterance")
            .group_by("prompt_id", "response_id", "criterion", maintain_order=True)
            .agg(score=pl.col("sign") * pl.col("logprob") / pl.col("tokens"))
            .with_columns(score=exact_mean(pl.col("score")) * 2.0)
        )
        yield means
        yield (
            means.group_by("prompt_id", "response_id", maintain_order=True)
            .agg("score", criterion=pl.lit(OVERALL))
            .with_columns(score=exact_mean(pl.col("score")))
        )
        no_room = pl.lit("there is no room for a follow-up behind the response")
        yield rows.join(heard, on=["prompt_id", "response_id"], how="anti").select(
            "prompt_id",
            "response_id",
            criterion=pl.lit(OVERALL),
            score=pl.lit(None, pl.Float64),
            failure=pl.coalesce(pl.col("failure"), no_room),
            retry="retry",
        )

    def _need(self) -> PassRequest:
        said = [text for remarks in REMARKS.values() for side in remarks for text in side[: self.remarks]]
        return PassRequest(self.model, follow_ups=tuple(said))


def _remarks(count: int) -> pl.DataFrame:
    """Each remark's dimension, and whether it counts for or against."""
    rows = [
        {"utterance": utterance_id(text), "criterion": dimension, "sign": sign}
        for dimension, remarks in REMARKS.items()
        for side, sign in ((remarks.pleased, 1.0), (remarks.displeased, -1.0))
        for text in side[:count]
    ]
    return pl.DataFrame(rows, schema={"utterance": pl.String, "criterion": pl.String, "sign": pl.Float64})
