"""The interface of what reads token ids: a model in this process, or a server."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from pairwright.models.local.packing import Branch


class Reading(NamedTuple):
    """What a model makes of a branch."""

    logprobs: np.ndarray
    """Natural log-probability of each scored token, in 64 bits."""
    hidden_sum: np.ndarray | None = None
    """Sum of the last layer's states from which the scored tokens are predicted, in 64 bits."""
    last_hidden: np.ndarray | None = None
    """The state at the token before the last: the one from which the end is predicted."""
    failure: str | None = None
    """Why there are no numbers, where that is known; another build asks again."""

    @property
    def is_finite(self) -> bool:
        """Whether all of it are numbers."""
        states = (self.logprobs, self.hidden_sum, self.last_hidden)
        return all(one is None or bool(np.isfinite(one).all()) for one in states)


Readings = dict[tuple[int, ...], Reading]
"""By the branches' sinks."""


class Backend(Protocol):
    """Reads."""

    tokenizer: Any
    limit: int
    """Greatest number of tokens of a sequence."""

    def read(self, groups: Sequence[Sequence[Branch]]) -> Readings:
        """Readings of all branches. Those of one group share a beginning, as the responses of a prompt do."""
