"""Reads through an OpenAI-compatible completions endpoint that echoes the log-probabilities of a prompt.

Token ids are sent, never text, so that the boundaries are those found here. Servers that cannot echo ignore the request
in silence or answer shifted by one, so a new server is probed first. Prefix caching makes some servers' prompt
log-probabilities depend on the order of requests: switch it off for scoring.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openai

from pairwright.judges.likelihood.backend import Reading, Readings
from pairwright.judges.likelihood.loading import load_tokenizer
from pairwright.judges.likelihood.packing import Branch, flat
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.models import CausalModel

CALLS = 16
"""Requests in flight."""


def limit_of(model: CausalModel) -> int:
    """Greatest number of tokens of a text: a server refuses one that leaves no room for another token."""
    if not model.max_tokens:
        raise JudgeError(f"model {model.id!r} at {model.base_url}: a server does not say its limit; set max_tokens")
    return model.max_tokens - 1


class Server:
    """A served model. Its tokenizer is loaded here, from the model's folder or the Hub."""

    def __init__(self, model: CausalModel) -> None:
        self.tokenizer, self.limit, self.model = load_tokenizer(model), limit_of(model), model
        key = os.environ.get(model.api_key_env) or "none"
        self._client = openai.OpenAI(base_url=model.base_url, api_key=key, max_retries=4, timeout=120)
        self._probe()

    def read(self, groups: Sequence[Sequence[Branch]]) -> Readings:
        """Readings of all branches, by their sinks; hidden states are none."""
        branches = [branch for group in groups for branch in flat(group)]
        with ThreadPoolExecutor(CALLS) as pool:
            readings = pool.map(self._reading, branches)
            return {branch.sink: one for branch, one in zip(branches, readings, strict=True)}

    def _reading(self, branch: Branch) -> Reading:
        """What the server makes of a text. Its failure is the text's own as long as the probe still goes well.

        Servers refuse some texts, and a log-probability of minus infinity is no JSON.
        """
        try:
            return Reading(self._echo(branch.ids)[branch.start :])
        except JudgeError as error:
            self._probe()
            return Reading(np.full(len(branch.ids) - branch.start, np.nan), failure=str(error))

    def _echo(self, ids: list[int]) -> np.ndarray:
        """Log-probability of each token, from the second on; the first is not a number."""
        try:
            answer = self._client.completions.create(
                model=self.model.served_as or self.model.id,
                prompt=ids,
                max_tokens=1,
                temperature=0.0,
                echo=True,
                logprobs=1,
            )
        except openai.OpenAIError as error:
            raise JudgeError(
                f"{self._label()} failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
            ) from error
        listed: Any = answer.choices[0].logprobs and answer.choices[0].logprobs.token_logprobs
        if not listed or len(listed) < len(ids) or None in listed[1 : len(ids)]:
            raise JudgeError(
                f"{self._label()} does not echo the prompt's log-probabilities; serve with vLLM, or drop base_url"
            )
        return np.array([np.nan, *listed[1 : len(ids)]], dtype=np.float64)

    def _probe(self) -> None:
        """Ask for two texts that differ in their last token but one: what comes before must not differ."""
        words = self.tokenizer("One two three four five six", add_special_tokens=False)["input_ids"]
        other = [*words[:-2], words[0], words[-1]]
        a, b = self._echo(words), self._echo(other)
        here = len(words) - 2
        if not np.allclose(a[1:here], b[1:here], atol=0.05) or abs(a[here] - b[here]) < 1e-6:
            raise JudgeError(f"{self._label()} echoes log-probabilities at the wrong tokens; it cannot score")

    def _label(self) -> str:
        return f"model {self.model.served_as or self.model.id!r} at {self.model.base_url}"
