"""Which of a source's columns ours are taken from, settled once, and what a row becomes before it has an id."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.display.text import shown
from pairwright.schemas.errors import SourceError
from pairwright.schemas.sources import ColumnMap
from pairwright.schemas.tables import MESSAGES, STEPS

TEXTS = ("tests", "source", "license", "domain", "split")
ANSWERS = pl.List(
    pl.Struct({"policy": pl.String, "text": pl.String, "reasoning": pl.String, "tool_calls": pl.String, "steps": STEPS})
)
MEDIA = {"images": "image", "audios": "audio", "videos": "video"}
"""Fields of the column map that hold media → what they hold."""
_RAW: dict[str, Any] = {
    "row": pl.UInt64,
    "bad": pl.String,
    "excerpt": pl.String,
    "messages": MESSAGES,
    "typed": pl.String,
    "tools": pl.String,
    "references": pl.List(pl.String),
    "tags": pl.List(pl.String),
    **dict.fromkeys(TEXTS, pl.String),
    "answers": ANSWERS,
}
RAW = pl.Schema(_RAW)
"""What a source's row becomes: either `bad` says why it is a reject, or the rest holds."""
LISTED = 20
"""Names that a message lists at most."""


class Columns(NamedTuple):
    """The source's column for each of ours, settled against what the source has."""

    prompt: str
    system: str | None
    own_system: bool
    """Whether a conversation that begins with a system turn keeps that as its only one."""
    references: list[str]
    tags: list[str]
    texts: dict[str, str]
    response: str | None
    responses: list[str]
    policy: str | None
    policies: str | list[str] | None
    steps: str | None
    step_labels: str | None
    tools: str | None = None
    media: Mapping[str, str] = {}
    """The column of each kind of media."""
    reasoning: str | None = None
    tool_calls: str | None = None

    def used(self) -> set[str]:
        """The source's columns that something of ours is taken from."""
        policies = self.policies if isinstance(self.policies, str) else None
        single = [self.prompt, self.system, self.response, self.policy, policies, self.steps, self.step_labels]
        single += [self.tools, self.reasoning, self.tool_calls]
        several = (self.references, self.tags, self.responses, self.texts.values(), self.media.values())
        return {name for name in single if name} | {name for names in several for name in names}


NO_COLUMNS = Columns("", None, True, [], [], {}, None, [], None, None, None, None)
"""Where no record has named fields."""


def wanted_names(columns: ColumnMap) -> set[str]:
    """Every name that a column of ours may be taken from: those that the recipe names, and our own."""
    return {*columns.named(), *ColumnMap.model_fields, "messages"}


def settle(columns: ColumnMap, found: Sequence[str], label: str) -> Columns:
    """Match the recipe's column map against a source's columns.

    Raises SourceError for a named column that is not there, saying which are.
    """

    def named(field: str, default: str | None = None) -> list[str]:
        value = getattr(columns, field)
        if value is None:
            return [default] if default and default in found else []
        wanted = [name for name in ([value] if isinstance(value, str) else value) if name]
        for name in wanted:
            if name not in found:
                raise SourceError(f"{label}: columns.{field} names {name!r}; the source has {_listed(found)}")
        return wanted

    prompt = named("prompt", "prompt") or named("prompt", "messages")
    if not prompt:
        raise SourceError(f"{label}: no column 'prompt' or 'messages'; name one in `columns`: {_listed(found)}")
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
    beside = ("reasoning", "tool_calls")
    for field in beside:
        if getattr(columns, field) and len(responses) > 1:
            raise SourceError(f"{label}: columns.{field} goes with one column of responses, not {len(responses)}")
    return Columns(
        prompt[0],
        next(iter(named("system", "system")), None),
        not columns.system,
        named("references", "references"),
        named("tags", "tags"),
        {field: name[0] for field in TEXTS if (name := named(field, field))},
        next(iter(named("response", "response")), None),
        responses,
        next(iter(named("policy", "policy")), None),
        policies,
        next(iter(steps), None),
        next(iter(labels), None),
        next(iter(named("tools")), None),
        {kind: name[0] for field, kind in MEDIA.items() if (name := named(field))},
        *(next(iter(named(field)), None) for field in beside),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(shown(name, 60) for name in names[:LISTED]) + more
