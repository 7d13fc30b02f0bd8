"""The interface of a judge, and the helpers that turn its answers into rows of the scores table."""

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

import polars as pl

from pairwright.judges.likelihood.need import Need
from pairwright.schemas.kinds import Kind

EVIDENCE = {"references": "references_id", "domain": "domain"}
"""What a judge may read of a prompt besides the conversation: the column of the prompts table that names it."""
SAMPLE = 256
"""Responses that a free judge is timed on."""


class Batch(NamedTuple):
    """Whole prompts with the responses that want a verdict."""

    prompts: pl.DataFrame
    """Rows of the prompts table, sorted by prompt_id."""
    responses: pl.DataFrame
    """Rows of the responses table for these prompts, sorted by (prompt_id, response_id)."""
    likelihoods: Mapping[str, pl.DataFrame] = {}
    """Rows of the likelihoods tables that the judge needs, for these responses, by the need's key."""


class Estimate(NamedTuple):
    """What judging some responses would take."""

    verdicts: int = 0
    calls: int = 0
    """Requests to a server."""
    passes: int = 0
    """Forward passes of a model."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":  # type: ignore[override]
        return Estimate(**{name: getattr(self, name) + getattr(other, name) for name in self._fields})


class Judge(Kind, family="judge"):
    """Scores responses. One file and one class a judge; its fields are its options.

    `judge` yields frames with prompt_id, response_id, criterion, score and, where it has them, failure, retry,
    rationale, raw and cost_usd, as soon as it has them, so that the journal can keep up. A response that it cannot
    score gets a row with a null score and a failure; `retry` says whether asking again could help.
    """

    reads: ClassVar[tuple[Literal["references", "domain"], ...]] = ()
    """What its answers depend on besides conversation and response; where that changes, they do not count."""

    def needs(self) -> Sequence[Need]:
        """What it asks of causal models; their answers are then in `work.likelihoods`."""
        return ()

    def headline(self) -> str | None:
        """The criterion that is the judge's score, where the others only explain it; None for the mean of all."""
        return None

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
        few = work.responses.head(SAMPLE)
        sample = Batch(work.prompts.join(few, on="prompt_id", how="semi", maintain_order="left"), few)
        start = time.perf_counter()
        for _ in self.judge(sample):
            pass
        elapsed = time.perf_counter() - start
        return Estimate(verdicts=total, seconds=elapsed / max(few.height, 1) * total)


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
