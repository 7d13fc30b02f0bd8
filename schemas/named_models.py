"""Models that a recipe names once: whatever then writes the name for a model gets the model with its options."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from pairwright.schemas.errors import short
from pairwright.schemas.models import PACKAGED, Dtype, holds_a_model
from pairwright.schemas.served import ServedModel

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


class NamedModel(ServedModel):
    """A model that the recipe names once. Where a policy, judge, router, filter or the release says `model: NAME` (or
    `strong: NAME` …), it stands for the model with the options given here, of which it takes those that it knows; an
    option of its own wins. The name wins over a model that is really called so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it runs, if it runs in this process."""
    dtype: Dtype = "float32"
    """Of its weights and activations, if it runs in this process."""
    batch_tokens: Annotated[int | None, Field(ge=16)] = None
    """Tokens of one batch, if it runs in this process."""
    served_as: str | None = None
    """What a server that echoes log-probabilities calls it, if not by its id."""

    @model_validator(mode="before")
    @classmethod
    def _named_once(cls, data: Any, info: ValidationInfo) -> Any:
        return data


def named_in(content: Any) -> dict[str, dict[str, Any]]:
    """The models that a recipe's content names, as they are written. One that cannot be is left with nothing but its
    model: what is wrong with it is told once, where it stands."""
    listed = content.get("models") if isinstance(content, dict) else None
    found = {}
    for name, entry in (listed if isinstance(listed, dict) else {}).items():
        if isinstance(name, str) and isinstance(entry, dict):
            try:
                NamedModel.model_validate(entry)
                found[name] = entry
            except ValidationError:
                found[name] = {"model": str(entry.get("model", name))}
    return found


def check_names(models: dict[str, NamedModel], folder: Path) -> None:
    """Raises ValueError for a name that hides a model beside the recipe, and for one that stands for another name."""
    for name, one in models.items():
        if one.model != name and one.model in models:
            raise ValueError(
                f"models.{name}.model is {short(one.model)}, which is a name given here, too; write what the server or "
                "the Hub calls the model"
            )
        if one.model != name and (name in PACKAGED or holds_a_model(folder / name)):
            raise ValueError(
                f"models.{name} hides the model in the folder or package {short(name)}, which `model: {name}` would no "
                "longer mean; give it another name"
            )
