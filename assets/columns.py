"""Which of a source's columns ours are taken from, settled once, and what a row becomes before it has an id."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from pairwright.schemas.errors import SourceError
from pairwright.schemas.recipe import ColumnMap
from pairwright.schemas.tables import MESSAGES, STEPS

TEXTS = ("tests", "source", "license", "domain", "split")
ANSWERS = pl.List(pl.Struct({"policy": pl.String, "text": pl.String, "steps": STEPS}))
_RAW: dict[str, Any] = {
    "row": pl.UInt64,
    "bad": pl.String,
    "excerpt": pl.String,
    "messages": MESSAGES,
    "references": pl.List(pl.String),
    "tags": pl.List(pl.String),
    **dict.fromkeys(TEXTS, pl.String),
    "answers": ANSWERS,
}
RAW = pl.Schema(_RAW)
"""What a source's row becomes: either `bad` says why it is a reject, or the rest holds."""


class Columns(NamedTuple):
    """The source's column for each of ours, settled against what the source has."""

    prompt: str
    system: str | None
    references: list[str]
    tags: list[str]
    texts: dict[str, str]
    response: str | None
    responses: list[str]
    policy: str | None
    policies: str | list[str] | None
    steps: str | None
    step_labels: str | None


NO_COLUMNS = Columns("", None, [], [], {}, None, [], None, None, None, None)
"""Before any record with named fields was seen."""


def settle(columns: ColumnMap, found: Sequence[str], label: str) -> Columns:
    """Match the recipe's column map against a source's columns.

    Raises SourceError for a named column that is not there, saying which are.
    """

    def named(field: str, default: str | None = None) -> list[str]:
        value = getattr(columns, field)
        if value is None:
            return [default] if default and default in found else []
        wanted = [value] if isinstance(value, str) else list(value)
        for name in wanted:
            if name not in found:
                raise SourceError(f"{label}: columns.{field} names {name!r}; the source has {', '.join(found)}")
        return wanted

    prompt = named("prompt", "prompt") or named("prompt", "messages")
    if not prompt:
        raise SourceError(f"{label}: no column 'prompt' or 'messages'; name one in `columns`: {', '.join(found)}")
    policies = columns.policies
    if isinstance(policies, str) or policies is None:
        policies = next(iter(named("policies", "policies")), None)
    responses = named("responses", "responses")
    if isinstance(policies, list) and len(responses) > 1 and len(policies) != len(responses):
        raise SourceError(f"{label}: {len(policies)} policies for {len(responses)} response columns; name one each")
    steps, labels = named("steps", "steps"), named("step_labels", "step_labels")
    if not (steps and labels and len(responses) < 2):
        if columns.steps or columns.step_labels:
            raise SourceError(
                f"{label}: columns.steps and columns.step_labels go together, with one column of responses or none"
            )
        steps, labels = [], []
    return Columns(
        prompt[0],
        next(iter(named("system")), None),
        named("references", "references"),
        named("tags", "tags"),
        {field: name[0] for field in TEXTS if (name := named(field, field))},
        next(iter(named("response", "response")), None),
        responses,
        next(iter(named("policy", "policy")), None),
        policies,
        next(iter(steps), None),
        next(iter(labels), None),
    )
