"""Reading a recipe: errors that name key, value, what is allowed and the nearest match."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pairwright.schemas.errors import SHORT, RecipeError, dotted, nearest, one_line, short
from pairwright.schemas.families import FAMILIES
from pairwright.schemas.kinds import kinds, nearest_kind
from pairwright.schemas.named_models import named_in
from pairwright.schemas.naming import CONTEXT
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.safe_yaml import read_yaml

MOST = 20
"""Mistakes that are told at once, a line each."""


def load_recipe(path: str | Path) -> Recipe:
    """The validated recipe in a YAML file.

    Raises RecipeError naming the file, and each wrong key with its value, what is allowed and the nearest match.
    """
    path = Path(path)
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds {type(content).__name__}, expected a mapping with `dataset:`, `prompts:`, …")
    return parse_recipe(content, path)


def parse_recipe(content: dict[str, Any], path: Path) -> Recipe:
    """The recipe in parsed YAML; `path` is where relative sources start and what errors name."""
    try:
        return Recipe.model_validate(content, context={"path": path, CONTEXT: named_in(content)})
    except ValidationError as error:
        found = error.errors(include_url=False)
        lines = [one_line(_explain(dict(item), content)) for item in found[:MOST]]
        if len(found) > MOST:
            lines.append(f"and {len(found) - MOST:,} more")
        raise RecipeError(f"{path}: " + "\n  ".join(lines)) from None


def _explain(error: dict[str, Any], content: Any) -> str:
    steps, owner = _locate(error["loc"], content)
    where = dotted(steps)
    value = error.get("input")
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            allowed = _allowed_keys(owner)
            return f"{where}: unknown key{nearest(str(steps[-1])[:SHORT], allowed)}; allowed: {', '.join(allowed)}"
        case "missing":
            return f"{where}: missing, and it has no default"
        case "union_tag_invalid":
            allowed = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
            tag, family = str(context["tag"]), _family(steps)
            guess = nearest_kind(family, tag[:SHORT]) if family else nearest(tag[:SHORT], allowed)
            key = FAMILIES[family].key if family else "kind"
            return f"{where}.{key}: {short(tag)} is not known{guess}; allowed: {', '.join(allowed)}"
        case "union_tag_not_found":
            family = _family(steps) or "judge"
            return f"{where}: `kind` is missing; allowed: {', '.join(kinds(family))}"
        case "literal_error":
            allowed = [part.strip("' ") for part in context["expected"].replace(" or ", ", ").split(",")]
            near = nearest(str(value)[:SHORT], allowed)
            return f"{where}: {short(value)} is not allowed{near}; allowed: {', '.join(allowed)}"
        case "string_pattern_mismatch":
            return f"{where}: {short(value)} is not allowed; use a-z, 0-9, '_' and '-', starting with a letter or digit"
        case "value_error":
            return f"{where + ': ' if where else ''}{context['error']}"
    return f"{where}: {error['msg'][0].lower() + error['msg'][1:]}; found {short(value)}"


def _locate(loc: Sequence[Any], content: Any) -> tuple[list[Any], type[BaseModel] | None]:
    """The steps of a location that exist in the YAML (tags of unions do not), and the model that owns the last one."""
    steps: list[Any] = []
    model: type[BaseModel] | None = Recipe
    owner = model
    tagged = False
    for step in loc:
        family = _family(steps)
        if family and not tagged:
            model = kinds(family).get(str(step))  # the union's tag: names the class, is no key
            tagged = True
            continue
        if isinstance(content, list) and isinstance(step, int) and step < len(content):
            content = content[step]
        elif isinstance(content, dict):
            owner = model
            if model is not None and step in model.model_fields:
                model = _model_in(model.model_fields[step].annotation)
            content = content.get(step)
        else:
            break  # what follows names a branch of a union of plain types
        steps.append(step)
    return steps, owner


def _family(steps: Sequence[Any]) -> str | None:
    """The family of which one is selected at just this place: at `judges[0]`, `release.formats[0]`, `jury`, …"""
    for name, family in FAMILIES.items():
        depth = len(family.place)
        within = steps[depth:]
        alone = not within if family.usual else len(within) == 1 and isinstance(within[0], int)
        if depth and tuple(steps[:depth]) == family.place and alone:
            return name
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _allowed_keys(owner: type[BaseModel] | None) -> list[str]:
    return sorted(owner.model_fields) if owner else []
