"""The content of a turn: a text, or parts of text, image, audio and video, in the spellings that data sets have.

A canonical part is {"type": "text", "text"}, or {"type": "image" | "audio" | "video"} with `media` (the name of a
stored file) or `url`. Where a file comes to lie is not known here: whoever reads a source says by a function.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pairwright.schemas.errors import short

MEDIA = ("image", "audio", "video")
PLACEHOLDER = re.compile("<(image|audio|video)>")
"""What stands in a text where a part goes whose file is in a column beside it."""
KINDS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "thinking": "reasoning",
    "reasoning": "reasoning",
    **{spelling: kind for kind in MEDIA for spelling in (kind, f"{kind}_url", f"input_{kind}")},
}
"""How parts call their type → ours."""
HOLDERS = ("url", "path", "bytes", "data", "base64", "file", "source")
"""Where a part may hold its file, beside keys that are named for its type."""

Keep = Callable[[str, Any], dict[str, str]]
"""(kind, what a source holds) → {"media": name} or {"url": …}. Raises ValueError."""


def keep_nothing(kind: str, value: Any) -> dict[str, str]:
    """Where there is no place for media."""
    raise ValueError(f"holds {'an' if kind != 'video' else 'a'} {kind}, which cannot be kept here")


class Attached:
    """A row's media that stand in columns beside the conversation; each placeholder takes the next of its kind."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]) -> None:
        self.columns = {kind: list(values) for kind, values in columns.items()}
        self.taken = dict.fromkeys(columns, 0)

    def take(self, kind: str) -> Any:
        """The next one. Raises ValueError where there is none left."""
        self.taken[kind] = self.taken.get(kind, 0) + 1
        values = self.columns.get(kind, [])
        if self.taken[kind] > len(values):
            hint = "" if kind in self.columns else f"; name their column under `columns: {{{kind}s: …}}`"
            raise ValueError(f"stands for {kind} number {self.taken[kind]}, but the row has {len(values)}{hint}")
        return values[self.taken[kind] - 1]

    def untouched(self) -> dict[str, list[Any]]:
        """Those that nothing has stood for, where that is all of their kind. Raises ValueError where it is some."""
        for kind, taken in self.taken.items():
            if 0 < taken < len(self.columns.get(kind, [])):
                raise ValueError(f"the row has {len(self.columns[kind])} of {kind}, but only {taken} are placed")
        return {kind: values for kind, values in self.columns.items() if values and not self.taken[kind]}


def read_content(value: Any, place: str, keep: Keep, attached: Attached) -> tuple[str | list[dict[str, str]], str]:
    """A turn's content, as a text or as canonical parts where one of them is none; and reasoning among its parts.

    Texts alone are joined by a newline. Raises ValueError naming the part that cannot be used.
    """
    if isinstance(value, str):
        value = _unicode(value, place)
        if not attached.columns or not PLACEHOLDER.search(value):
            return value, ""
        value = _split(value, attached.columns)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{place} is {type(value).__name__} ({short(value)}), expected a text or a list of parts")
    parts, reasoning = list[dict[str, str]](), list[str]()
    for number, one in enumerate(value, start=1):
        part = _part(one, f"{place}: part {number}", keep, attached)
        if part["type"] == "reasoning":
            reasoning.append(part["text"])
        else:
            parts.append(part)
    if any(part["type"] != "text" for part in parts):
        return [part for part in parts if part.get("text") != ""], "\n".join(reasoning)
    return "\n".join(part["text"] for part in parts), "\n".join(reasoning)


def text_of(content: str | Sequence[Mapping[str, str]]) -> str:
    """The text in a content: of parts, those that are text, joined by a newline."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _part(value: Any, place: str, keep: Keep, attached: Attached) -> dict[str, str]:
    if isinstance(value, str):
        return {"type": "text", "text": _unicode(value, place)}
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {type(value).__name__} ({short(value)}), expected an object with a type")
    told = {key: one for key, one in value.items() if one is not None}
    kind = _kind(told, place)
    if kind in ("text", "reasoning"):
        text = told.get("text", told.get(kind, told.get("thinking", told.get("content"))))
        if not isinstance(text, str):
            raise ValueError(f"{place} has type {told.get('type', kind)!r}, but its text is {short(text)}")
        return {"type": kind, "text": _unicode(text, place)}
    held = _held(told, kind)
    try:
        return {"type": kind, **keep(kind, attached.take(kind) if held is None else held)}
    except ValueError as error:
        raise ValueError(f"{place} {error}") from None


def _kind(part: Mapping[str, Any], place: str) -> str:
    if "type" in part:
        spelling = part["type"]
        if not isinstance(spelling, str) or spelling not in KINDS:
            raise ValueError(f"{place} has type {short(spelling)}; allowed: text, {', '.join(MEDIA)}")
        return KINDS[spelling]
    found = sorted({KINDS[key] for key in part if key in KINDS})
    if len(found) != 1:
        raise ValueError(f"{place} has no type; allowed: text, {', '.join(MEDIA)}")
    return found[0]


def _held(part: Mapping[str, Any], kind: str) -> Any:
    """What a part of media holds; None where it only stands for one in a column."""
    for key in (kind, f"{kind}_url", f"input_{kind}", *HOLDERS):
        held = part.get(key)
        if held is None or held == "":
            continue
        if key == "bytes":
            return {"bytes": held}
        if key in ("base64", "data"):
            return {"base64": held}
        return held
    return None


def _split(text: str, columns: Mapping[str, Any]) -> list[dict[str, str]]:
    """A text with placeholders as parts: what stands between them, and what they stand for."""
    parts, start = list[dict[str, str]](), 0
    for found in PLACEHOLDER.finditer(text):
        if found[1] not in columns:
            continue
        between = text[start : found.start()].strip("\n")
        parts += [{"type": "text", "text": between}] if between else []
        parts.append({"type": found[1]})
        start = found.end()
    rest = text[start:].strip("\n")
    return [*parts, {"type": "text", "text": rest}] if rest else parts


def _unicode(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{place} is not valid Unicode") from None
    return text
