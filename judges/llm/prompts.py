"""Prompts: versioned Jinja templates, in which what is judged stands between marks that it cannot contain."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import digest

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What responses are called in a prompt."""
CROWDED = f"the prompt has more responses than the {len(LABELS)} that one call can label"


class Shown(NamedTuple):
    """A response as a judge sees it."""

    label: str
    text: str


@lru_cache(maxsize=64)
def source_of(path: Path) -> str:
    """A template's text. Raises RecipeError where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"template {path} cannot be read: {error}") from None


@lru_cache(maxsize=64)
def _compiled(source: str) -> Any:
    # Autoescape is off: the text goes to a model, not into a page. The sandbox keeps a template from reaching Python;
    # what is judged is only ever a value, so Jinja syntax in it stays text.
    environment = ImmutableSandboxedEnvironment(
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    return environment.from_string(source)


def mark_of(*contents: str) -> str:
    """Marks what is judged, in one call. A hash over all that stands between the marks: to forge it, a text would
    have to contain the hash of itself. The same call has the same mark on every machine."""
    return digest("mark", *contents, size=8)


def render(source: str, **values: Any) -> str:
    """The prompt. `mark` is added, from every text among the values. Raises RecipeError for a template at fault."""
    mark = mark_of(*_texts(values))
    try:
        return str(_compiled(source).render(mark=mark, **values)).strip()
    except TemplateError as error:
        raise RecipeError(
            f"the prompt template fails: {error}; it may use: mark, {', '.join(sorted(values))}"
        ) from None


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key in sorted(value) for text in [str(key), *_texts(value[key])]]
    if isinstance(value, list | tuple):
        return [str(len(value)), *(text for one in value for text in _texts(one))]
    return [str(value)]
