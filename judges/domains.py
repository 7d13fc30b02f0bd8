"""What the density ratio puts before a query: an instruction and exemplars that fit the prompt's domain."""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import polars as pl
from pydantic import AfterValidator, BaseModel, ConfigDict

from pairwright.judges.router import Router
from pairwright.models.local.request import Context
from pairwright.schemas.tables import MESSAGES


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return pattern


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Exemplar(_Part):
    """A question with a better and a worse answer."""

    prompt: str
    chosen: str
    rejected: str


class Domain(_Part):
    """What is asked of an answer in a domain."""

    instruction: str
    """Goes first."""
    exemplars: list[Exemplar] = []
    """Shown after it."""


class Rule(_Part):
    """Prompts whose last turn matches a pattern belong to a domain."""

    pattern: Annotated[str, AfterValidator(_compiles)]
    """Regular expression, searched for without regard to case."""
    domain: str
    """A key of `domains`."""


def customised(
    domains: Mapping[str, Domain], rules: Sequence[Rule], shots: int, router: Router | None = None
) -> Context:
    """The context that puts a domain's instruction and exemplars before the text of the first user's turn."""

    def apply(prompts: pl.DataFrame) -> pl.DataFrame:
        has_domain = "domain" in prompts.columns
        changed = [
            _before(row["messages"], _preamble(row["prompt_id"], _domain(row, domains, rules), shots))
            for row in prompts.select("prompt_id", "messages", *(["domain"] if has_domain else [])).iter_rows(
                named=True
            )
        ]
        return prompts.with_columns(messages=pl.Series(changed, dtype=MESSAGES))

    content: dict[str, Any] = {
        "domains": [[name, domain.model_dump()] for name, domain in domains.items()],
        "rules": [rule.model_dump() for rule in rules],
        "shots": shots,
    }
    if router:  # two routers may differ about a prompt, so each has a pass of its own
        content["router"] = router.fingerprint
    return Context(content, apply, reads_domain=not rules, router=router)


def _domain(row: Mapping[str, Any], domains: Mapping[str, Domain], rules: Sequence[Rule]) -> Domain:
    fallback = next(iter(domains.values()))
    if rules:
        query = row["messages"][-1]["content"]
        hit = next((rule.domain for rule in rules if re.search(rule.pattern, query, re.IGNORECASE)), None)
        return domains[hit] if hit else fallback
    return domains.get(row.get("domain") or "", fallback)


def _preamble(prompt_id: str, domain: Domain, shots: int) -> str:
    """The instruction, and exemplars drawn by the prompt's id alone, so that all its responses share them."""
    shown = random.Random(prompt_id).sample(domain.exemplars, min(shots, len(domain.exemplars)))  # noqa: S311 - a draw
    examples = [f"Question: {e.prompt}\nBetter answer: {e.chosen}\nWorse answer: {e.rejected}" for e in shown]
    return "\n\n".join([domain.instruction, *examples])


def _before(messages: Sequence[Mapping[str, str]], preamble: str) -> list[dict[str, str]]:
    """The conversation with the preamble before the first user's text: templates without a system turn take it too."""
    changed = [dict(message) for message in messages]
    first = next((message for message in changed if message["role"] == "user"), changed[-1])
    first["content"] = f"{preamble}\n\n{first['content']}"
    return changed
