"""Making text safe and short to show: dataset text is hostile wherever it is shown."""

import html
import re
import unicodedata

SPACES = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
"""What `str.strip` strips; polars by itself leaves U+001C to U+001F."""
_MARKDOWN = str.maketrans({char: f"&#{ord(char)};" for char in "|`*_[]()~\\!:"})
"""Not `#`: entities hold it, and it means nothing inside a line."""
_LINKED = re.compile(r"(?i)(?<=https)(?=:)|(?<=http)(?=:)|(?<=ftp)(?=:)|(?<=www)(?=\.)|(?=@)")
"""Where GitHub's Markdown begins a link by itself, even in text that was written as entities."""
UNLINKED = "\u2060"
"""A word joiner: invisible, no place to break a line, and no part of an address."""


def shown(text: str, limit: int = 160) -> str:
    """One line of plain text: control and direction-changing characters made visible, cut to `limit` characters."""
    line = "".join(_visible(char) for char in text[: limit + 1])
    return line[:limit] + "…" if len(text) > limit else line


def cell(text: str, limit: int = 160) -> str:
    """Text for a cell of a Markdown or HTML table: nothing in it is markup, a link, or a column."""
    return html.escape(_LINKED.sub(UNLINKED, shown(text, limit)), quote=True).translate(_MARKDOWN)


def _visible(char: str) -> str:
    if char in "\n\r\t\v\f\u2028\u2029":
        return " "
    category = unicodedata.category(char)
    return f"\\u{ord(char):04x}" if category in {"Cc", "Cf", "Cs"} and char not in "\u200c\u200d" else char
