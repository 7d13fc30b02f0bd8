"""The recipe: one YAML file that says what to build. Unknown keys are errors."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from pairwright.schemas.guides import bind_guides
from pairwright.schemas.kinds import SLUG, Kind, Member, OneOf, usual
from pairwright.schemas.named_models import NAME, NamedModel, check_names
from pairwright.schemas.options import (
    BudgetOptions,
    Operations,
    Part,
    PoolOptions,
    RankingOptions,
    ReleaseOptions,
    Schedule,
    distinct,
)
from pairwright.schemas.sources import Source
from pairwright.schemas.tables import Preferences

TAKEN = frozenset({*Preferences.column_names(), "jury", "longer-wins", "random"})
"""Names that no judge can have: of columns beside its own, and of what it is compared with."""


class Weighing(Protocol):
    """What a recipe reads of its jury."""

    @property
    def weights(self) -> dict[str, float]:
        """Of the judges that are given one, by name."""


class Recipe(Part):
    """One data set: its sources, judges, jury, pairing, filters and release."""

    model_config = ConfigDict(defer_build=True)

    dataset: Annotated[str, Field(pattern=SLUG)]
    """Name of the data set: its folder under the data directory and its group in the UI."""
    models: dict[Annotated[str, Field(pattern=NAME)], NamedModel] = Field(default={})
    """Models that are named once, to be used by policies, judges, routers, filters and the release: name → options."""
    prompts: Source
    """Where the prompts come from; the same rows may hold responses."""
    responses: list[Source] = Field(default=[])
    """Further sources of responses, joined to the prompts by content; only their responses are taken."""
    shards: Annotated[int, Field(ge=1, le=4096)] = 4
    """Pieces that the prompts are cut into; memory is bounded by one of them."""
    policies: list[Annotated[Kind, OneOf("policy")]] = Field(default=[])
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
    filters: list[Annotated[Kind, OneOf("filter")]] = Field(default=[])
    """Run in order; each adds its value and its verdict to every candidate pair."""
    budget: BudgetOptions = BudgetOptions()
    """What calls to servers may cost in all."""
    release: ReleaseOptions = ReleaseOptions()
    """What a version holds, and where it goes."""
    schedule: Schedule | None = None
    """When it is brought up to date by itself."""
    operations: Operations = Operations()
    """What Dagster shows and does besides."""

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
        return distinct(parts)

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
    def _sources_say_what_is_read(self) -> "Recipe":
        columns = [source.columns for source in self.sources]
        names = [name for one in columns for name in one.score_names]
        for judge in self.judges:
            of, kind = getattr(judge, "of", None), getattr(judge, "kind", None)
            if kind == "label" and not any(one.compares for one in columns):
                raise ValueError(
                    f"judge {judge.name}: no source names labels; write `columns: {{chosen: …, rejected: …}}`, or "
                    "response_a, response_b and label"
                )
            if kind == "score" and of not in names:
                there = ", ".join(names) or "there are none"
                raise ValueError(f"judge {judge.name}: of is {of!r}; the sources' scores (columns.scores): {there}")
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

    @field_validator("models")
    @classmethod
    def _names_hide_nothing(cls, models: dict[str, NamedModel], info: ValidationInfo) -> dict[str, NamedModel]:
        path = info.context["path"] if isinstance(info.context, dict) and "path" in info.context else Path()
        check_names(models, Path(path).parent)
        return models

    def model_post_init(self, context: Any) -> None:
        if isinstance(context, dict) and "path" in context:
            self._path = context["path"]


def recipe_json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for completion in editors; options that many parts share stand there once."""
    from pairwright.schemas.descriptions import DescribedSchema

    schema = Recipe.model_json_schema(schema_generator=DescribedSchema)
    shared = schema["$defs"][NamedModel.__name__]["properties"]
    for name, part in schema["$defs"].items():
        for option, told in part.get("properties", {}).items():
            if name != NamedModel.__name__ and told == shared.get(option):
                part["properties"][option] = {"$ref": f"#/$defs/{NamedModel.__name__}/properties/{option}"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Pairwright recipe", **schema}
