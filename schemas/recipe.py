"""The recipe: one YAML file that says what to build. Unknown keys are errors."""

import re
import unicodedata
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from pairwright.schemas.errors import short
from pairwright.schemas.kinds import SLUG, Kind, Member, OneOf, bind_guides, usual
from pairwright.schemas.models import CausalModel
from pairwright.schemas.tables import Preferences

TAKEN = frozenset({*Preferences.column_names(), "jury", "longer-wins", "random"})
"""Names that no judge can have: of columns beside its own, and of what it is compared with."""


class Part(BaseModel):
    """A block of the recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Columns = str | list[str]
HUB_REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
"""`organisation/name`."""
HUB_DATASET = r"hf://(?!.*(--|\.\.))([A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_]([\w.-]{0,94}[A-Za-z0-9_])?(?<!\.git)"
"""What the Hub takes for a data set's id."""


class ColumnMap(Part):
    """Which column of the source holds what. Left out: the column of the same name, where the source has one; an empty
    text or list takes none. `tools`, `images`, `audios`, `videos`, `reasoning` and `tool_calls` are taken only where
    they are named, since they make other prompts and responses of the same texts."""

    prompt: str | None = None
    """Text of the user's turn, or a list of messages that ends before the assistant's turn: {role, content}, or as
    ShareGPT has them {from, value}, with content parts, tool calls and reasoning where there are such."""
    tools: str | None = None
    """The tools that the prompt carries: a list of JSON Schemas, or a JSON text of it."""
    images: str | None = None
    """Images of the conversation, one or a list: paths below the source's folder, data URIs, bytes, or addresses, which
    stay such. Each takes the place of the next `<image>` in the text or image part without a file; those that nothing
    stands for go before the first user's text."""
    audios: str | None = None
    """The same with sounds, for `<audio>`."""
    videos: str | None = None
    """The same with films, for `<video>`."""
    system: str | None = None
    """System prompt, put before the prompt. A conversation that begins with a system turn keeps that alone, unless the
    recipe names this column."""
    references: Columns | None = None
    """One or several columns of gold answers, each a text or a list of texts."""
    response: str | None = None
    """Long form: one response a row."""
    responses: Columns | None = None
    """Wide form: a list of responses a row, or several columns with one response each. A response is a text, or the
    assistant's message."""
    reasoning: str | None = None
    """What was thought before a response, a text; in wide form a list of them, for a list of responses."""
    tool_calls: str | None = None
    """The tool calls of a response, a list; in wide form a list of such lists."""
    policy: str | None = None
    """Long form: the column that names the model which wrote the response."""
    policies: str | list[str] | None = None
    """Wide form: the column with the list of model names, or the names themselves, in the order of `responses`."""
    steps: str | None = None
    """A response's steps of reasoning, a list of texts; in wide form a list of such lists. They go on to the rankings
    and to the `trl-stepwise` export. Without `response` and `responses`, a row's response is its steps, a line each."""
    step_labels: str | None = None
    """Whether each of the `steps` is right: true or false, or 1 or 0."""
    tests: str | None = None
    """Unit tests of a code prompt."""
    source: str | None = None
    """Where the prompt comes from."""
    license: str | None = None
    """Licence of the prompt."""
    domain: str | None = None
    """Kind of task."""
    tags: Columns | None = None
    """Labels, a text or a list of texts."""
    split: str | None = None
    """Where the source decides it: `train`, `validation` or `test`, in any case and also as their usual names (`dev`,
    `val`, `eval`; `heldout`; `test_prefs`). Rows with another name are rejected. Empty: by the prompt's id."""

    def named(self) -> list[str]:
        """Every column that the recipe names."""
        values = [value for field, value in self if not (field == "policies" and isinstance(value, list))]
        return [name for value in values for name in ([value] if isinstance(value, str) else value or []) if name]


class Source(Part):
    """A file or dataset with prompts, responses, or both."""

    source: str
    """Parquet, JSON Lines (.jsonl, .ndjson, also .gz and .zst) or CSV file, a glob of such files, a folder written by
    `datasets`, or hf://org/name. Relative paths start at the recipe's folder."""
    columns: ColumnMap = ColumnMap()
    split: str = "train"
    """Split of a Hub dataset."""
    config: str | None = None
    """Configuration of a Hub dataset."""
    revision: str | None = None
    """Commit or tag of a Hub dataset."""
    on_bad_row: Literal["reject", "fail"] = "reject"
    """A bad row goes to the rejects table with its number and the reason, or stops the build."""

    @field_validator("source")
    @classmethod
    def _can_be_a_name(cls, source: str) -> str:
        if source.startswith("hf://"):
            if not re.fullmatch(HUB_DATASET, source):
                raise ValueError(f"{short(source)} is no data set on the Hub; write hf://organisation/name")
        elif not source.strip() or any(unicodedata.category(char) == "Cc" for char in source):
            raise ValueError(f"{short(source)} is no name of a file; name a file, a pattern, a folder or hf://org/name")
        elif len(source.encode()) > 4_000 or any(len(part.encode()) > 255 for part in source.split("/")):
            raise ValueError(f"{short(source)} is longer than a file's name can be")
        return source


class Weighing(Protocol):
    """What a recipe reads of its jury."""

    @property
    def weights(self) -> dict[str, float]:
        """Of the judges that are given one, by name."""


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


def _format_by_name(value: Any) -> Any:
    """`trl` is short for `{kind: trl}`."""
    return {"kind": value} if isinstance(value, str) else value


FormatOption = Annotated[
    Kind,
    OneOf("format"),
    BeforeValidator(_format_by_name, json_schema_input_type=str | Annotated[Kind, OneOf("format")]),
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
    formats: list[FormatOption] = []
    """Export formats written for every version, each a name or a mapping with its `kind` and options."""
    hub: str | None = None
    """Repository `organisation/name` on the Hub that every version is pushed to. A new one is made private."""

    @field_validator("formats")
    @classmethod
    def _distinct_formats(cls, parts: list[Kind]) -> list[Kind]:
        return _distinct(parts)

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


def _distinct(parts: list[Kind]) -> list[Kind]:
    names = [part.name.replace("-", "_") for part in parts]  # which Dagster does not tell apart
    twice = [part.name for part in parts if names.count(part.name.replace("-", "_")) > 1]
    if twice:
        raise ValueError(f"name {twice[-1]!r} is used twice; give one of them another `name:`")
    return parts


class Recipe(Part):
    """One data set: its sources, judges, jury, pairing, filters and release."""

    model_config = ConfigDict(defer_build=True)

    dataset: Annotated[str, Field(pattern=SLUG)]
    """Name of the data set: its folder under the data directory and its group in the UI."""
    prompts: Source
    """Where the prompts come from; the same rows may hold responses."""
    responses: list[Source] = []
    """Further sources of responses, joined to the prompts by content; only their responses are taken."""
    shards: Annotated[int, Field(ge=1, le=4096)] = 4
    """Pieces that the prompts are cut into; memory is bounded by one of them."""
    policies: list[Annotated[Kind, OneOf("policy")]] = []
    """Models that write responses, besides those in the sources."""
    pool: PoolOptions | None = None
    """Draw some of the policies for each prompt; left out: all write for all."""
    judges: Annotated[list[Annotated[Kind, OneOf("judge")]], Field(min_length=1)]
    """What gives value to responses."""
    jury: Annotated[Weighing, OneOf("jury")] = Field(default_factory=partial(usual, "jury"))
    """How verdicts become one utility per response."""
    pairs: Annotated[Member, OneOf("strategy")] = Field(default_factory=partial(usual, "strategy"))
    """Which pairs are drawn."""
    rankings: RankingOptions = RankingOptions()
    """How whole lists are emitted."""
    filters: list[Annotated[Kind, OneOf("filter")]] = []
    """Run in order; each adds its value and its verdict to every candidate pair."""
    budget: BudgetOptions = BudgetOptions()
    """What calls to servers may cost in all."""
    release: ReleaseOptions = ReleaseOptions()
    """What a version holds, and where it goes."""
    schedule: Schedule | None = None
    """When it is brought up to date by itself."""

    _path: Path = PrivateAttr(default=Path("recipe.yaml"))

    @property
    def path(self) -> Path:
        """The file it was read from; sources are looked up beside it."""
        return self._path

    @property
    def sources(self) -> list[Source]:
        """All sources, the prompts' first."""
        return [self.prompts, *self.responses]

    @property
    def weights(self) -> dict[str, float]:
        """Every judge's weight in the jury, by name and in the recipe's order.

        Those that have none by their kind get 1 where they would leave nobody to vote and the recipe says nothing.
        """
        told = self.jury.weights
        weights = {judge.name: told.get(judge.name, judge.usual_weight) for judge in self.judges}
        return weights if any(weights.values()) else {name: told.get(name, 1.0) for name in weights}

    @field_validator("judges", "filters", "policies")
    @classmethod
    def _distinct_names(cls, parts: list[Kind]) -> list[Kind]:
        return _distinct(parts)

    @field_validator("judges")
    @classmethod
    def _free_names(cls, judges: list[Kind]) -> list[Kind]:
        for judge in judges:
            if judge.name in TAKEN:
                raise ValueError(f"name {judge.name!r} is taken; give the judge another `name:`")
        return judges

    @model_validator(mode="after")
    def _guides_are_judges(self) -> "Recipe":
        bind_guides(self.judges)
        return self

    @model_validator(mode="after")
    def _weights_name_judges(self) -> "Recipe":
        names = [judge.name for judge in self.judges]
        for name in self.jury.weights:
            if name not in names:
                raise ValueError(f"jury.weights names {name!r}; the judges are {', '.join(names)}")
        if not any(self.weights.values()):
            raise ValueError("jury.weights leaves no judge with a weight above 0")
        return self

    @model_validator(mode="after")
    def _filters_name_judges(self) -> "Recipe":
        names = [judge.name for judge in self.judges]
        for one in self.filters:
            by = getattr(one, "by", None)
            if by is not None and by not in names:
                raise ValueError(f"filter {one.name}: by names {by!r}; the judges are {', '.join(names)}")
        return self

    def model_post_init(self, context: Any) -> None:
        if isinstance(context, dict) and "path" in context:
            self._path = context["path"]


def recipe_json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for completion in editors."""
    from pairwright.schemas.descriptions import DescribedSchema

    schema = Recipe.model_json_schema(schema_generator=DescribedSchema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Pairwright recipe", **schema}
