"""The interface of a judge: what it is asked about, what it reads besides, and its answers."""

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import polars as pl

from pairwright.judges.planner import PairPlan
from pairwright.models.estimate import Estimate
from pairwright.models.local.request import VERSION, PassRequest
from pairwright.schemas.dataframely import dy
from pairwright.schemas.guides import Guided
from pairwright.schemas.kinds import FailureShare
from pairwright.schemas.paid_tables import Comparisons, Scores

EVIDENCE = {"references": "references_id", "domain": "domain"}
"""What a judge may read of a prompt besides the conversation: the column of the prompts table that names it."""
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
    media: Path | None = None
    """The folder of what conversations show."""


class Judge(Guided, family="judge"):
    """Scores responses. One file and one class a judge; its fields are its options.

    `judge` yields frames with prompt_id, response_id, criterion, score and, where it has them, failure, retry,
    rationale, raw and cost_usd, as soon as it has them, so that the journal can keep up. A response that it cannot
    score gets a row with a null score and a failure; `retry` says whether asking again could help.

    One that is asked about pairs yields response_a, response_b (in id order), p_a and per_order instead of response_id
    and score.
    """

    asks_about: ClassVar[Literal["response", "pair", "prompt"]] = "response"
    """What one question is about. response: one, and `judge` is handed those in question. pair: two of a prompt, chosen
    by `pair_plan`. prompt: all of its responses, whose verdicts lean on each other: a new one calls for all of them
    again. For the latter two `judge` is handed whole prompts, and `work.wanted` says what is in question."""

    reads: ClassVar[tuple[Literal["references", "domain"], ...]] = ()
    """What its answers depend on besides conversation and response; where that changes, they do not count."""

    sees_prompt: ClassVar[bool] = True
    """Whether it reads the conversation, and so cannot judge where that shows what it does not see."""

    reads_calls: ClassVar[bool] = False
    """Whether it is shown a response's tool calls; one that is not reads no response that consists of them."""

    repeatable: ClassVar[bool] = True
    """Whether the same question always gets the same answer, so that asking it again would tell nothing."""

    calls_server: ClassVar[bool] = False
    """Whether it pays for calls, and so wants `work.replies`."""
    loads_model: ClassVar[bool] = False
    """Whether it loads a model of its own: then it works in one process, however many a build has."""

    max_failure_share: FailureShare = 0.1
    """Greatest share of its verdicts that may fail, those that it abstains from (no reference, not applicable) left
    out. Above it a build makes no release and says why; what was paid for is kept. One failure alone is never too many,
    unless this is 0."""

    def needs(self) -> Sequence[PassRequest]:
        """What it asks of causal models; their answers are then in `work.likelihoods`."""
        return ()

    @property
    def modalities(self) -> Sequence[str]:
        """What it reads of a conversation: `text`, `image`, `audio`, `video`."""
        return ("text",)

    @property
    def wants_reasoning(self) -> bool:
        """Whether a response without reasoning leaves it nothing to read."""
        return False

    def headline(self) -> str | None:
        """The criterion that is the judge's score, where the others only explain it; None for the mean of all."""
        return None

    def content(self) -> dict[str, Any]:
        """Its options and, where it asks causal models, the version of what reads them."""
        return {**super().content(), **({"engine": VERSION} if self.needs() else {})}

    @property
    def audited(self) -> tuple[float, int]:
        """Share of the prompts that a build asks about a second time, and the seed of their draw."""
        return 0.0, 0

    def pair_plan(self) -> PairPlan:
        """Of a judge that is asked about pairs: which ones."""
        return PairPlan()

    @property
    def guided_by(self) -> str | None:
        """The judge whose scores say which pairs this one is asked about."""
        return self.pair_plan().guided_by

    @property
    def table(self) -> type[dy.Schema]:
        """What a verdict is: a row of Scores or Comparisons."""
        return Comparisons if self.asks_about == "pair" else Scores

    @property
    def keys(self) -> list[str]:
        """The ids that a verdict is about."""
        sides = ["response_a", "response_b"] if self.asks_about == "pair" else ["response_id"]
        return ["prompt_id", *sides]

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
