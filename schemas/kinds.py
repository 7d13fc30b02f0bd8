"""Kinds: judges, filters and other parts that a recipe names by `kind`, or by a key that says more.

A kind is one class in one file. Its fields are its options in the recipe; its fingerprint is a hash of all of them
except those marked `Runtime`, which can change neither an answer nor a verdict.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Union, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticSerializationError

from pairwright.schemas import plugins
from pairwright.schemas.errors import PairwrightError, RecipeError, nearest, short
from pairwright.schemas.families import FAMILIES, GROUPS
from pairwright.schemas.ids import fingerprint


class _RuntimeMark:
    """Marks an option that says where or how fast to compute, never what."""


Runtime = _RuntimeMark()

FailureShare = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), Runtime]
"""Of answers that may fail before a build stops; it changes none of them."""

IDENTITY = {"identity": True}
"""Context of a dump that is to be hashed: parts that are known by content give it instead of their name or path."""

SLUG = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""What names of datasets, judges, filters and policies look like: safe in paths, columns and URLs."""

_REGISTRY: dict[str, dict[str, type["Member"]]] = {family: {} for family in FAMILIES}
_loaded: set[str] = set()
"""Plug-ins that were imported, by what errors call them."""


class Member(BaseModel):
    """Base of the classes of all families; its fields are its options in a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised whenever the code changes what it answers, so that old answers stay valid under the old number."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """What else people look for it by: an error about an unknown kind asks whether this one is meant."""
    origin: ClassVar[plugins.Origin | None] = None
    """Whence a plug-in comes, as part of its fingerprint; nothing for what is shipped here."""

    def __init_subclass__(cls, family: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if family:
            cls.family = family

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        family = getattr(cls, "family", None)
        field = cls.model_fields.get(FAMILIES[family].key) if family else None
        if family and field is not None and get_origin(field.annotation) is Literal:
            _REGISTRY[family][field.default] = cls

    def content(self) -> dict[str, Any]:
        """The options that can change an answer, as JSON-like values."""
        runtime = {name for name, field in type(self).model_fields.items() if Runtime in field.metadata}
        try:
            return self.model_dump(mode="json", exclude=runtime, context=IDENTITY)
        except PydanticSerializationError as error:
            if isinstance(error.__cause__, PairwrightError):  # a model whose commit cannot be found out
                raise error.__cause__ from None
            raise

    def stamp(self) -> dict[str, Any]:
        """The content, and which code it is where that is not the first one shipped here: what a table made by it
        depends on. Unlike the fingerprint it tells options at their default, too."""
        version = {"version": self.version} if self.version > 1 else {}
        return self.content() | version | ({"plugin": list(self.origin)} if self.origin else {})

    @property
    def fingerprint(self) -> str:
        """16 hex characters over kind, version and every option that can change an answer.

        An option at its default is left out, so that a new option leaves what was computed before it valid; whoever
        changes a default raises the version.
        """
        fields, key = type(self).model_fields, FAMILIES[self.family].key
        usual = {name for name, field in fields.items() if name != key and getattr(self, name) == field.default}
        told = {name: value for name, value in self.content().items() if name not in usual}
        told |= {"plugin": list(self.origin)} if self.origin else {}
        return fingerprint({"family": self.family, "version": self.version, **told})


class Kind(Member):
    """Base of everything that a recipe selects by `kind`, several of them beside each other, told apart by name."""

    usual_weight: ClassVar[float] = 1.0
    """Of a judge in the jury, where the recipe gives it none."""

    name: Annotated[str, Field(default="", pattern=SLUG), Runtime]
    """What columns, plots and messages call it; by default its kind."""

    @model_validator(mode="before")
    @classmethod
    def _named_after_kind(cls, data: Any) -> Any:
        if isinstance(data, dict) and "name" not in data:
            kind = data.get("kind") or cls.model_fields["kind"].default
            return {**data, "name": str(kind)}
        return data

    @property
    def names(self) -> list[str]:
        """What the parts are called that it stands for: its own name, unless it stands for several."""
        return [self.name]

    def needs(self) -> Sequence[Any]:
        """What it asks of causal models, as requests for their passes."""
        return ()


def kinds(family: str) -> dict[str, type[Member]]:
    """Kind name → class, after importing all families' folders and this one's plug-ins.

    Raises RecipeError for a plug-in that cannot be imported, or that takes the name of another kind.
    """
    _import_shipped()  # before plug-ins, so that none takes a name of these
    for name, origin, load in [*plugins.entry_points_of(GROUPS[family]), *plugins.files()]:
        if name not in _loaded:
            _load(name, origin, load)
    return dict(sorted(_REGISTRY[family].items()))


@functools.cache
def _import_shipped() -> None:
    for folder in {one.folder: None for one in FAMILIES.values()}:
        package = importlib.import_module(folder)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)


def _load(name: str, origin: plugins.Origin, load: Callable[[], object]) -> None:
    """Import a plug-in and note where its kinds come from; nothing of it stays registered where that fails."""
    before = {family: dict(known) for family, known in _REGISTRY.items()}
    try:
        load()
        for family, known in _REGISTRY.items():
            for kind, cls in known.items():
                old = before[family].get(kind)
                if old is not None and old is not cls:
                    raise RecipeError(f"it takes the name of the {family} {kind!r}, which is there already; rename it")
                if old is None:
                    cls.origin = origin
    except Exception as error:
        _REGISTRY.update(before)
        what = str(error) if isinstance(error, RecipeError) else f"{type(error).__name__}: {error}"
        raise RecipeError(f"the plug-in {name} cannot be used: {' '.join(what.split())}") from error
    _loaded.add(name)


def nearest_kind(family: str, word: str) -> str:
    """A question after the kind of a family that an unknown word is nearest to, by its name or an alias."""
    known = kinds(family)
    return nearest(word.lower().replace("_", "-"), list(known), {name: one.aliases for name, one in known.items()})


def usual(family: str) -> Any:
    """What a recipe that says nothing selects of a family of which it has just one."""
    name = FAMILIES[family].usual
    if name not in _REGISTRY[family]:  # nothing is imported yet
        kinds(family)
    return _REGISTRY[family][name]()


class OneOf:
    """Field annotation: any kind of a family, chosen by its key, which is `kind` in most.

    The union is put together when a recipe is first read, so that adding a kind touches its own file only.
    """

    def __init__(self, family: str) -> None:
        self.family = family

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        known = kinds(self.family)
        if FAMILIES[self.family].usual:
            parts = tuple(Annotated[cls, Tag(name)] for name, cls in known.items())
            return handler.generate_schema(Annotated[Union[parts], Discriminator(self._selected)])  # noqa: UP007
        classes = tuple(known.values())
        union: Any = Annotated[Union[classes], Field(discriminator="kind")]  # noqa: UP007 - built at run time
        return handler.generate_schema(union if len(classes) > 1 else classes[0])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        made = handler(schema)
        if FAMILIES[self.family].usual and "oneOf" in made:  # several fit where the key is left out
            made["anyOf"] = made.pop("oneOf")
        return made

    def _selected(self, value: Any) -> str:
        """The tag of a part of a recipe, or of one that is made already; what is neither fails in the usual one."""
        _, _, _, key, usual = FAMILIES[self.family]
        tag = value.get(key, usual) if isinstance(value, Mapping) else getattr(value, key, usual)
        return tag if isinstance(tag, str) else short(tag)
