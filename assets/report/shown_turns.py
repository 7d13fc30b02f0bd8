"""Turns as a page shows them: text, images as small data URIs, calls as code, reasoning folded; all of it inert.

An image is decoded and drawn anew, so that nothing of the file but its pixels comes into the page.
"""

import base64
import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairwright.assets.display.text import shown
from pairwright.schemas.content_parts import text_of
from pairwright.schemas.errors import StoreError
from pairwright.schemas.media import read_media

EDGE = 200
"""Pixels of the longer edge of an image in the page."""
IMAGES = 3
"""Of a turn, that are shown."""
PIXELS = 50_000_000
"""Of an image that is decoded at all."""
TEXT = 1_200
"""Characters of a text that are shown."""


def block(text: str, limit: int = TEXT) -> str:
    """Text with its lines kept, control and direction-changing characters made visible, cut to `limit` characters."""
    cut = "\n".join(shown(line, limit) for line in text[:limit].split("\n"))
    return cut[:limit] + "…" if len(text) > limit else cut


def shown_turn(turn: Mapping[str, Any], media: Path) -> dict[str, Any]:
    """A canonical message as plain values, its texts made safe to look at (and still to be escaped)."""
    content = turn["content"]
    made: dict[str, Any] = {"role": turn["role"], "text": block(text_of(content))}
    parts = [] if isinstance(content, str) else [part for part in content if part["type"] != "text"]
    return made | beside(turn) | {"media": [_medium(part, media) for part in parts[:IMAGES]]}


def beside(turn: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the text of a turn: its reasoning, or nothing, and its calls as code."""
    reasoning = turn.get("reasoning")
    calls = [f"{one['name']}({_arguments(one['arguments'])})" for one in turn.get("tool_calls") or []]
    return {"reasoning": block(reasoning) if reasoning else "", "calls": [block(one) for one in calls], "media": []}


def _arguments(arguments: Any) -> str:
    return json.dumps(arguments, ensure_ascii=False, indent=1) if arguments else ""


def _medium(part: Mapping[str, str], media: Path) -> dict[str, str]:
    """A stored image as a data URI; of anything else what it is."""
    kind = part["type"]
    if "media" not in part:
        return {"uri": "", "told": f"{kind} at {shown(part['url'], 200)}"}
    if kind != "image":
        return {"uri": "", "told": f"{kind} {part['media']}"}
    uri = thumbnail(media, part["media"])
    return {"uri": uri or "", "told": part["media"] if uri else f"image {part['media']}, which cannot be shown"}


def thumbnail(media: Path, name: str) -> str | None:
    """A stored image, scaled and drawn anew, as a data URI; None where it cannot be."""
    from PIL import Image

    try:
        content = read_media(media, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content))
            if picture.width * picture.height > PIXELS:
                return None
            picture.draft("RGB", (EDGE, EDGE))
            drawn = picture.convert("RGB")
        drawn.thumbnail((EDGE, EDGE))
        made = io.BytesIO()
        drawn.save(made, "JPEG", quality=75)
    except (StoreError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(made.getvalue()).decode()}"
