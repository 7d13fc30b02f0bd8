"""Blocks of a recipe that are about one thing each: rankings, the pool, the budget, the release, the schedule."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pairwright.schemas.kinds import Kind, OneOf
from pairwright.schemas.models import CausalModel

HUB_REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
"""`organisation/name`."""
OWNER = r"^(team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s.]+)$"
"""`team:name` or an e-mail address."""


class Part(BaseModel):
    """A block of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RankingOptions(Part):
    """How a prompt's whole list is emitted."""

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Of the softmax that turns utilities into soft targets."""


class PoolOptions(Part):
    """Which policies write for a prompt."""

    size: Annotated[int, Field(ge=1)]
    """So many of them, drawn for each prompt by seed; over many prompts, all alike often: to about 1.6 % of the prompts
    at 1,000 and 0.5 % at 10,000, for 2 of 4. A prompt's draw does not move when others come."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the draw, which depends on it and on content alone."""


class BudgetOptions(Part):
    """What the data set's calls may come to, over all builds. A build that would pass a cap stops, its work kept."""

    usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """By the prices in the recipe."""
    calls: Annotated[int, Field(ge=0)] | None = None
    """Answered requests."""
    tokens: Annotated[int, Field(ge=0)] | None = None
    """Of prompts and answers."""


def _by_name(value: Any) -> Any:
    """`trl` is short for `{kind: trl}`."""
    return {"kind": value} if isinstance(value, str) else value


FormatOption = Annotated[
    Kind,
    OneOf("format"),
    BeforeValidator(_by_name, json_schema_input_type=str | Annotated[Kind, OneOf("format")]),
]


ColumnOption = Annotated[
    Kind,
    OneOf("column"),
    BeforeValidator(_by_name, json_schema_input_type=str | Annotated[Kind, OneOf("column")]),
]


class ReleaseOptions(Part):
    """What a version holds, and where it goes."""

    model_config = ConfigDict(defer_build=True)

    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of prompts whose rows go to the test split, by prompt id."""
    license: str | None = None
    """Of the emitted data set, for its card."""
    reference_model: CausalModel | None = None
    """Adds this model's summed log-probabilities, the end of the turn included, as the columns `ref_chosen_logps`
    and `ref_rejected_logps` that trainers take instead of running it."""
    columns: list[ColumnOption] = []
    """Further columns of the pairs, each a name or a mapping with its `kind` and options."""
    formats: list[FormatOption] = []
    """Export formats written for every version, each a name or a mapping with its `kind` and options."""
    hub: str | None = None
    """Repository `organisation/name` on the Hub that every version is pushed to. A new one is made private."""

    @field_validator("columns", "formats")
    @classmethod
    def _distinct_names(cls, parts: list[Kind]) -> list[Kind]:
        return distinct(parts)

    @field_validator("hub")
    @classmethod
    def _names_a_repository(cls, hub: str | None) -> str | None:
        if hub is not None and not re.match(HUB_REPOSITORY, hub):
            raise ValueError(f"{hub!r} is no repository; write organisation/name")
        return hub


class Schedule(Part):
    """When a data set is brought up to date by itself, and how much of it is judged again."""

    relabel: str
    """Cron expression of five fields, like `0 2 * * *`."""
    timezone: str = "UTC"
    """Name from the IANA data base in which the expression is read, like Europe/Berlin."""
    audit_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the prompts whose verdicts are judged again each night, another draw every night. Each round asks with
    seeds of its own; at temperature 0 the agreement of the rounds measures the server only."""
    max_age_days: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Verdicts that are older are judged again."""

    @model_validator(mode="after")
    def _is_a_schedule(self) -> "Schedule":
        from dagster import DagsterInvalidDefinitionError, ScheduleDefinition

        try:
            ScheduleDefinition(
                name="probe", job_name="probe", cron_schedule=self.relabel, execution_timezone=self.timezone
            )
        except DagsterInvalidDefinitionError as error:
            raise ValueError(" ".join(str(error).split())) from None
        return self


class Operations(Part):
    """What Dagster shows and does besides; it changes no row."""

    owners: list[Annotated[str, Field(pattern=OWNER)]] = []
    """Who answers for the assets: e-mail addresses, or teams like `team:data`."""
    fresh_within_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Hours since its last build after which the UI shows an asset as overdue; left out: never."""
    automation: Literal["eager"] | None = None
    """`eager` lets Dagster make an asset as soon as what it reads is new, paid work included, once its automation
    sensor is switched on; left out: never."""


def distinct(parts: list[Kind]) -> list[Kind]:
    """The parts as they are. Raises ValueError where two have one name."""
    told = [name for part in parts for name in part.names]
    names = [name.replace("-", "_") for name in told]  # which Dagster does not tell apart
    twice = [name for name in told if names.count(name.replace("-", "_")) > 1]
    if twice:
        raise ValueError(f"name {twice[-1]!r} is used twice; give one of them another `name:`")
    return parts
