"""What work on models would take, before any of it is done."""

from typing import NamedTuple


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
    """Of what is not in batches."""
    batches: int = 0
    """Of the Batch API, all sent at once: the window in which a server is done with them is no sum of theirs."""
    reasoning_tokens: int = 0
    """Of the completion's, where the model is known to think before it answers."""

    unreadable: int = 0
    """Verdicts that the judge cannot give, for what it does not read; they are not among the others."""

    def __add__(self, other: "Estimate") -> "Estimate":  # type: ignore[override]
        return Estimate(**{name: getattr(self, name) + getattr(other, name) for name in self._fields})
