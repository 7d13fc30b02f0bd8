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
    batches: int = 0
    """Of the Batch API, one after the other; `seconds` is then the longest that they may take."""
    reasoning_tokens: int = 0
    """Of the completion's, where the model is known to think before it answers."""

    def __add__(self, other: "Estimate") -> "Estimate":  # type: ignore[override]
        return Estimate(**{name: getattr(self, name) + getattr(other, name) for name in self._fields})
