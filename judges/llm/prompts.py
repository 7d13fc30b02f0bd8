"""Prompts: versioned Jinja templates, in which what is judged stands between marks that it cannot contain."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pairwright.judges.llm.rendering import render_apart
from pairwright.judges.llm.sandbox import FaultError, rendered
from pairwright.schemas.errors import RecipeError, one_line, short
from pairwright.schemas.ids import digest

LARGEST = 1 << 20
"""Bytes of a template's file."""
LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What responses are called in a prompt."""
CROWDED = f"the prompt has more responses than the {len(LABELS)} that one call can label"


class Shown(NamedTuple):
    """A response as a judge sees it."""

    label: str
    text: str


class TemplateError(RecipeError):
    """A template gives no prompt; the message has the line, where it is known."""


@lru_cache(maxsize=64)
def source_of(path: Path) -> str:
    """A template's text. Raises RecipeError where there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        text = content.decode()
    except (OSError, ValueError) as error:
        raise RecipeError(f"template {short(str(path))} cannot be read: {one_line(str(error), 300)}") from None
    if len(content) > LARGEST:
        raise RecipeError(f"template {path} is larger than {LARGEST:,} bytes, which no prompt is")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@lru_cache(maxsize=1)
def _shipped() -> frozenset[str]:
    """The templates that come with the package, which are known to end."""
    return frozenset(source_of(path) for path in Path(__file__).parents[1].glob("templates/*.jinja"))


def mark_of(*contents: str) -> str:
    """Marks what is judged, in one call. A hash over all that stands between the marks: to forge it, a text would
    have to contain the hash of itself. The same call has the same mark on every machine."""
    return digest("mark", *contents, size=8)


def render(source: str, **values: Any) -> str:
    """The prompt. `mark` is added, from every text among the values. Raises TemplateError for a template at fault.

    A template of one's own is rendered in a process apart, under limits of time, memory and length.
    """
    told = {"mark": mark_of(*_texts(values)), **values}
    try:
        return (rendered if source in _shipped() else render_apart)(source, told).strip()
    except FaultError as fault:
        where = f"line {fault.line}: " if fault.line else ""
        known = f"; it may use: {', '.join(sorted(told))}" if "is undefined" in fault.what else ""
        raise TemplateError(f"{where}{fault.what}{known}") from None


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key in sorted(value) for text in [str(key), *_texts(value[key])]]
    if isinstance(value, list | tuple):
        return [str(len(value)), *(text for one in value for text in _texts(one))]
    return [str(value)]
