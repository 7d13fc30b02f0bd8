"""When to give up on a server: nobody listens, nothing comes back, or every call is refused."""

import time

from pairwright.judges.llm.endpoint import Endpoint
from pairwright.judges.llm.wire import Wire
from pairwright.schemas.errors import JudgeError

DOWN_AFTER = 20.0
"""Seconds without any answer and nobody listening, after which a server counts as down."""
SILENT_ROUNDS = 3
"""Deadlines in a row without any answer, after which a server counts as hung."""
UNFIT_AT_FIRST = 8
"""Calls refused as unfit before any was answered: then the recipe is at fault, not the texts."""


class Patience:
    """What an endpoint has shown so far. Its errors name the URL and what to change."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.last_answer = time.monotonic()
        self.answered = 0
        self.refused = 0
        self.strange = 0

    def heard(self) -> None:
        """The server said something, if only an error."""
        self.last_answer = time.monotonic()

    def replied(self, body: str) -> None:
        """A whole reply came. Raises JudgeError where the first ones are no JSON: this is no such server."""
        if body.lstrip()[:1] == "{":
            self.answered += 1
            return
        self.strange += 1
        if not self.answered and self.strange >= UNFIT_AT_FIRST:
            raise JudgeError(
                f"{self.endpoint.base_url} does not speak the OpenAI protocol: it answers {body.strip()[:60]!r}; "
                "mend base_url (it often ends in /v1)"
            )

    def lost(self, wire: Wire) -> None:
        """A request brought no reply. Raises JudgeError where the next ones would not either."""
        url = self.endpoint.base_url
        if wire.kind == "refused":
            raise JudgeError(f"{url} refused model {self.endpoint.model!r}: {wire.problem}{self._hint()}")
        unheard = time.monotonic() - self.last_answer
        if wire.kind == "down" and unheard > DOWN_AFTER:
            raise JudgeError(f"no server answers at {url} ({wire.problem}); start it, or mend base_url")
        if not wire.heard and unheard > max(DOWN_AFTER, SILENT_ROUNDS * self.endpoint.deadline):
            raise JudgeError(
                f"{url} gave no answer for {unheard:.0f} s ({wire.problem}); see to the server, or raise deadline"
            )

    def unfit(self, wire: Wire) -> None:
        """A call was refused as unfit. Raises JudgeError where that is all that the server says."""
        self.refused += 1
        if not self.answered and self.refused >= UNFIT_AT_FIRST:
            raise JudgeError(
                f"{self.endpoint.base_url} answered none of the first {self.refused} calls: {wire.problem}; "
                "`pairwright doctor` shows what this server can do"
            )

    def _hint(self) -> str:
        if self.endpoint.api_key_env is None:
            return "; name the variable that holds the key in api_key_env, if it needs one"
        return f"; check the key in {self.endpoint.api_key_env}, and the model's name"
