"""Reading a recipe: safe YAML, no key twice, and errors that name key, value, what is allowed and the nearest match."""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from pairwright.schemas.errors import RecipeError, nearest
from pairwright.schemas.kinds import PLURALS, kinds, nearest_kind
from pairwright.schemas.recipe import Recipe


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, not a silent overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key is no text; quote it", key_node.start_mark)
            if key in seen:
                raise RecipeError(f"line {key_node.start_mark.line + 1}: key {key!r} is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_recipe(path: str | Path) -> Recipe:
    """The validated recipe in a YAML file.

    Raises RecipeError naming the file, and each wrong key with its value, what is allowed and the nearest match.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"no recipe at {path}; `pairwright init DIR` writes one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read as UTF-8 text: {error}") from None
    try:
        content = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise RecipeError(f"{path} is not valid YAML: it is nested too deeply") from None
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds {type(content).__name__}, expected a mapping with `dataset:`, `prompts:`, …")
    return parse_recipe(content, path)


def parse_recipe(content: dict[str, Any], path: Path) -> Recipe:
    """The recipe in parsed YAML; `path` is where relative sources start and what errors name."""
    try:
        return Recipe.model_validate(content, context={"path": path})
    except ValidationError as error:
        lines = [_explain(dict(item), content) for item in error.errors(include_url=False)]
        raise RecipeError(f"{path}: " + "\n  ".join(lines)) from None


def _explain(error: dict[str, Any], content: Any) -> str:
    steps, owner = _locate(error["loc"], content)
    where = _dotted(steps)
    value = error.get("input")
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            allowed = _allowed_keys(owner)
            return f"{where}: unknown key{nearest(str(steps[-1]), allowed)}; allowed: {', '.join(allowed)}"
        case "missing":
            return f"{where}: missing, and it has no default"
        case "union_tag_invalid":
            allowed = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
            tag, family = str(context["tag"]), _family(steps)
            guess = nearest_kind(family, tag) if family else nearest(tag, allowed)
            return f"{where}.kind: {tag!r} is not known{guess}; allowed: {', '.join(allowed)}"
        case "union_tag_not_found":
            family = _family(steps) or "judge"
            return f"{where}: `kind` is missing; allowed: {', '.join(kinds(family))}"
        case "literal_error":
            allowed = [part.strip("' ") for part in context["expected"].replace(" or ", ", ").split(",")]
            return f"{where}: {value!r} is not allowed{nearest(str(value), allowed)}; allowed: {', '.join(allowed)}"
        case "string_pattern_mismatch":
            return f"{where}: {value!r} is not allowed; use a-z, 0-9, '_' and '-', starting with a letter or digit"
        case "value_error":
            return f"{where + ': ' if where else ''}{context['error']}"
    return f"{where}: {error['msg'][0].lower() + error['msg'][1:]}; found {_short(value)}"


def _locate(loc: Sequence[Any], content: Any) -> tuple[list[Any], type[BaseModel] | None]:
    """The steps of a location that exist in the YAML (tags of unions do not), and the model that owns the last one."""
    steps: list[Any] = []
    model: type[BaseModel] | None = Recipe
    owner = model
    tagged = False
    for step in loc:
        family = _family(steps)
        if family and not tagged and isinstance(steps[-1], int):
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
    """The family whose kinds stand at a location: under `judges`, `filters`, `policies` or `release.formats`."""
    within = steps[1:] if steps[:1] == ["release"] else steps
    return next((family for family, plural in PLURALS.items() if within[:1] == [plural]), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _allowed_keys(owner: type[BaseModel] | None) -> list[str]:
    return sorted(owner.model_fields) if owner else []


def _dotted(steps: Sequence[Any]) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
