"""What models think before they answer, in a plan: a stated guess, until the ledger has seen some of it."""

from typing import NamedTuple

from pairwright.assets.sampling.policies.served import ServedPolicy
from pairwright.assets.storage.reply_ledger import findings_file, replies_table, spending
from pairwright.assets.storage.store import Workspace
from pairwright.models.estimate import Estimate
from pairwright.models.serving.abilities import read
from pairwright.models.serving.endpoint import Endpoint
from pairwright.schemas.kinds import Kind

GUESS = 1_000
"""Tokens of reasoning that an answer is taken to cost of a model that is known to think, until some were seen."""
SILENT = {"none"}
"""Efforts at which a model does not think."""


class Thought(NamedTuple):
    """Tokens of an answer of a model that thinks."""

    reasoning: float
    answer: float | None = None
    """Behind the reasoning, as it was seen; None where all is a guess."""


def thought_of(asker: Kind, workspace: Workspace) -> Thought | None:
    """What an answer of a judge or policy takes, as far as its replies show or its recipe makes expect; None for a
    model that is not known to think."""
    assert isinstance(asker, Endpoint)
    folder = replies_table(asker)
    seen = spending([folder, f"{folder}-*"], workspace).row(0, named=True)
    if seen["reasoning_tokens"]:
        mean = seen["reasoning_tokens"] / seen["calls"]
        return Thought(mean, seen["completion_tokens"] / seen["calls"] - mean)
    if seen["calls"] or asker.reasoning_effort in SILENT:
        return None  # what it wrote is in its completions, or it is told not to
    thinks = asker.reasoning_effort or asker.thinking or "reasoning" in read(findings_file(workspace.data), asker)
    return Thought(GUESS) if thinks else None


def with_reasoning(estimate: Estimate, asker: Kind, workspace: Workspace) -> Estimate:
    """The estimate of a judge, router or policy, with what its model thinks.

    A policy's is that of samples as long as they may be: the reasoning is a part of it. Others' gain it, up to
    max_tokens an answer.
    """
    if not estimate.calls or not isinstance(asker, Endpoint):
        return estimate
    thought = thought_of(asker, workspace)
    if thought is None:
        return estimate
    if isinstance(asker, ServedPolicy):
        times = estimate.calls if thought.answer is not None else estimate.completion_tokens / asker.max_tokens
        return estimate._replace(reasoning_tokens=int(min(thought.reasoning * times, estimate.completion_tokens)))
    answer = estimate.completion_tokens / estimate.calls if thought.answer is None else thought.answer
    written = int(min(asker.max_tokens, answer + thought.reasoning) * estimate.calls)
    made = asker.estimate_of(estimate.calls, estimate.prompt_tokens, written, estimate.verdicts)
    return made._replace(reasoning_tokens=int(min(asker.max_tokens, thought.reasoning) * estimate.calls))
