"""What judges and filters ask of a causal model: a need. Needs of one pass are joined, so the model runs once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import polars as pl

from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import digest, fingerprint
from pairwright.schemas.models import CausalModel

VERSION = 2
"""Raised when the engine changes what it answers."""

Want = Literal["tokens", "hidden"]
"""tokens: ids and log-probability of each token. hidden: Gram matrices of hidden states. Sums are always there."""


class Sorter(Protocol):
    """What sorts prompts into domains: a router."""

    name: str
    domains: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Names it, by what can change its answers."""


class Context(NamedTuple):
    """How a prompt is changed before the model reads it."""

    content: Any
    """JSON-like value that names the change."""
    apply: Callable[[pl.DataFrame], pl.DataFrame]
    """Rows of the prompts table → the same rows with other `messages`."""
    reads_domain: bool = False
    """Whether the change depends on the prompt's domain, which is then part of what a row is known by."""
    router: Sorter | None = None
    """What finds the domain, where the prompt's own column does not."""


def _as_it_is(prompts: pl.DataFrame) -> pl.DataFrame:
    return prompts


def _emptied(prompts: pl.DataFrame) -> pl.DataFrame:
    nothing = pl.concat_list(pl.struct(role=pl.lit("user"), content=pl.lit("")))
    return prompts.with_columns(messages=nothing)


PLAIN = Context("plain", _as_it_is)
"""The prompt as it is."""
EMPTY = Context("empty", _emptied)
"""A user's turn without text, for log p(y) as far as the template allows."""


class PassRequest(NamedTuple):
    """Something asked of a model's pass over responses."""

    model: CausalModel
    context: Context = PLAIN
    wants: frozenset[Want] = frozenset()
    follow_ups: tuple[str, ...] = ()
    """What the user may say after the response; the log-probability of each is wanted."""

    @property
    def key(self) -> str:
        """Names the pass: equal for needs that one pass can serve."""
        return fingerprint(["likelihoods", VERSION, self.model.content(), self.context.content])

    @property
    def table(self) -> str:
        """The folder of the pass's table."""
        return f"likelihoods/{self.key}"

    def check(self) -> None:
        """Raises RecipeError when a server is asked for what none can give."""
        if self.model.base_url and "hidden" in self.wants:
            raise RecipeError(
                f"model {self.model.id!r}: a server gives no hidden states, which CHES needs; "
                "leave out base_url for the filter's model, or use measure: edit-distance"
            )


def united(needs: Iterable[PassRequest]) -> dict[str, PassRequest]:
    """Pass key → one need that covers all needs of that pass."""
    passes: dict[str, PassRequest] = {}
    for need in needs:
        need.check()
        known = passes.get(need.key)
        if known is None:
            passes[need.key] = need
            continue
        asked = dict.fromkeys([*known.follow_ups, *need.follow_ups])
        passes[need.key] = known._replace(wants=known.wants | need.wants, follow_ups=tuple(asked))
    return passes


def utterance_id(text: str) -> str:
    """What a follow-up is called in the likelihoods table."""
    return digest("utterance", text, size=6)


Tables = Mapping[str, pl.DataFrame]
"""Pass key → its rows of the likelihoods table, for the responses at hand."""


def rows_of(responses: pl.DataFrame, need: PassRequest, tables: Tables) -> pl.DataFrame:
    """The pass's row of each response: its columns, with `failure` and `retry` set where there is none."""
    rows = tables[need.key]
    found = responses.select("prompt_id", "response_id").join(
        rows, on=["prompt_id", "response_id"], how="left", maintain_order="left"
    )
    absent = pl.col("retry").is_null()
    return found.with_columns(
        failure=pl.when(absent).then(pl.lit("the model has not read this response")).otherwise(pl.col("failure")),
        retry=pl.col("retry").fill_null(True),
    )
