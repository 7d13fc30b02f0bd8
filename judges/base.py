"""The interface of a judge, and the helpers that turn its answers into rows of the scores table."""

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import polars as pl

from pairwright.judges.means import exact_mean
from pairwright.judges.router import Router
from pairwright.models.estimate import Estimate
from pairwright.models.local.request import VERSION, PassRequest
from pairwright.schemas.dataframely import dy
from pairwright.schemas.kinds import FailureShare, Kind
from pairwright.schemas.tables import Comparisons, Scores

EVIDENCE = {"references": "references_id", "domain": "domain"}
"""What a judge may read of a prompt besides the conversation: the column of the prompts table that names it."""
GUIDE = "guide"
"""Column of another judge's scores, where they say what is asked."""
NOT_APPLICABLE = "not applicable"
"""The failure of a criterion that says nothing of a response: no accident, and no vote."""
SAMPLE = 256
"""Responses that a free judge is timed on, fewer where that takes long."""
BRIEF = 0.5
"""Seconds that this may take."""


class Batch(NamedTuple):
    """Whole prompts with the responses that want a verdict."""

    prompts: pl.DataFrame
    """Rows of the prompts table, sorted by prompt_id."""
    responses: pl.DataFrame
    """Rows of the responses table for these prompts, sorted by (prompt_id, response_id)."""
    likelihoods: Mapping[str, pl.DataFrame] = {}
    """Rows of the likelihoods tables that the judge needs, for these responses, by the need's key."""
    wanted: pl.DataFrame = pl.DataFrame()
    """The keys that want a verdict, for a judge that compares or sees whole prompts."""
    replies: Any = None
    """Where a judge that calls a server keeps replies and counts what it spends."""


class Judge(Kind, family="judge"):
    """Scores responses. One file and one class a judge; its fields are its options.

    `judge` yields frames with prompt_id, response_id, criterion, score and, where it has them, failure, retry,
    rationale, raw and cost_usd, as soon as it has them, so that the journal can keep up. A response that it cannot
    score gets a row with a null score and a failure; `retry` says whether asking again could help.

    A judge that compares yields response_a, response_b (in id order), p_a and per_order instead of response_id and
    score.
    """

    reads: ClassVar[tuple[Literal["references", "domain"], ...]] = ()
    """What its answers depend on besides conversation and response; where that changes, they do not count."""

    repeatable: ClassVar[bool] = True
    """Whether the same question always gets the same answer, so that asking it again would tell nothing."""

    loads_model: ClassVar[bool] = False
    """Whether it loads a model of its own: then it works in one process, however many a build has."""

    max_failure_share: FailureShare = 0.1
    """Greatest share of its verdicts that may fail, those that it abstains from (no reference, not applicable) left
    out. Above it a build makes no release and says why; what was paid for is kept. One failure alone is never too many,
    unless this is 0."""

    def needs(self) -> Sequence[PassRequest]:
        """What it asks of causal models; their answers are then in `work.likelihoods`."""
        return ()

    def router_of(self) -> Router | None:
        """What sorts prompts into domains for it, where the prompts' own column does not."""
        return None

    def headline(self) -> str | None:
        """The criterion that is the judge's score, where the others only explain it; None for the mean of all."""
        return None

    def content(self) -> dict[str, Any]:
        """Its options and, where it asks causal models, the version of what reads them."""
        return {**super().content(), **({"engine": VERSION} if self.needs() else {})}

    table: ClassVar[type[dy.Schema]] = Scores
    """Scores or Comparisons: what a verdict is."""

    @property
    def keys(self) -> list[str]:
        """The ids that a verdict is about."""
        sides = ["response_a", "response_b"] if self.table is Comparisons else ["response_id"]
        return ["prompt_id", *sides]

    @property
    def whole_prompts(self) -> bool:
        """Whether it sees all responses of a prompt at once, so that a new one calls for the whole prompt again."""
        return False

    @property
    def calls_server(self) -> bool:
        """Whether it pays for calls, and so wants a replies."""
        return False

    @property
    def guide(self) -> "Judge | None":
        """The judge whose scores say what this one is asked."""
        return self._guide if isinstance(self._guide, Judge) else None

    @property
    def audited(self) -> tuple[float, int]:
        """Share of the prompts that a build asks about a second time, and the seed of their draw."""
        return 0.0, 0

    def picks(self) -> dict[str, Any]:
        """The options, other than their defaults, that say which verdicts are asked for, but not what they are."""
        return {}

    def wanted(self, responses: pl.DataFrame) -> pl.DataFrame:
        """The keys of all verdicts that responses call for: prompt_id, response_id, and GUIDE where it is known."""
        return responses.select(self.keys)

    def per_response(self, verdicts: pl.LazyFrame, responses: pl.LazyFrame) -> pl.LazyFrame:
        """One score for each of the responses: prompt_id, response_id, score, failure.

        That of its headline criterion, else the mean over its criteria, in the newest round; null, with the reason,
        where one of them failed. A criterion that does not apply has no part in the mean.
        """
        if (headline := self.headline()) is not None:
            verdicts = verdicts.filter((pl.col("criterion") == headline) | pl.col("failure").is_not_null())
        newest = self.newest(verdicts).with_columns(_alone=pl.len().over(self.keys) == 1)
        failed = pl.col("failure").is_not_null() & (pl.col("failure") != NOT_APPLICABLE)
        several = newest.filter(~pl.col("_alone")).group_by(self.keys)
        means = several.agg(
            score=pl.when(~failed.any()).then(pl.col("score")).drop_nulls(),
            failure=pl.coalesce(pl.col("failure").filter(failed).first(), pl.col("failure").drop_nulls().first()),
        ).with_columns(score=exact_mean(pl.col("score")))
        alone = newest.filter("_alone").select(*self.keys, score=pl.when(~failed).then("score"), failure="failure")
        scores = pl.concat([alone, means])  # lists for one number each would cost more than all else
        scores = scores.with_columns(failure=pl.when(pl.col("score").is_null()).then(pl.col("failure")))
        return responses.join(scores, on=self.keys, how="left", maintain_order="left")

    def newest(self, verdicts: pl.LazyFrame) -> pl.LazyFrame:
        """The verdicts of the newest round on each key and criterion."""
        return verdicts.filter(pl.col("round") == pl.col("round").max().over([*self.keys, "criterion"]))

    @abstractmethod
    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Verdicts on `work.responses`, in any order."""

    def estimate(self, work: Batch) -> Estimate:
        """What `judge` would take for this work, without spending anything.

        A judge that is free to run is timed on a few of the responses; one that is not overrides this.
        """
        total = work.responses.height
        if self.needs():
            return Estimate(verdicts=total)  # an expression over likelihoods, whose passes are estimated apart
        self._timed(work, 1)  # what is loaded on first use is loaded once
        each = self._timed(work, SAMPLE // 16)
        if each * SAMPLE < BRIEF:
            each = self._timed(work, SAMPLE)
        return Estimate(verdicts=total, seconds=each * total)

    def _timed(self, work: Batch, most: int) -> float:
        """Seconds a response, on the first few."""
        few = work.responses.head(most)
        sample = Batch(work.prompts.join(few, on="prompt_id", how="semi", maintain_order="left"), few)
        start = time.perf_counter()
        for _ in self.judge(sample):
            pass
        return (time.perf_counter() - start) / max(few.height, 1)


def cannot(responses: pl.DataFrame, criterion: str, reason: str | pl.Expr) -> pl.DataFrame:
    """Rows that say why these responses get no score, now or ever: a fact of their content, not an accident."""
    failure = pl.lit(reason) if isinstance(reason, str) else reason
    return responses.select(
        "prompt_id",
        "response_id",
        criterion=pl.lit(criterion),
        score=pl.lit(None, pl.Float64),
        failure=failure,
        retry=pl.lit(False),
    )
