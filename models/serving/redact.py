"""The key is blotted out of every text that comes from a server, before the text is read, cut or kept.

A server may echo the key as it stands, or as a program spells it: escaped for JSON, several times over where JSON holds
JSON, for URLs, for HTML. Spellings that no program makes by itself (reversed, split, base64) are not looked for.
"""

import functools
import re

BLOT = "[key]"
DEEP = 16
"""Backslashes before one character: four levels of JSON within JSON."""
_SPELT = re.compile(r"\\u00|\\x|\\/|%[2-7]|&#")
"""Without any of these, a key of letters, digits, dots, dashes and underscores is spelt as it stands or not at all."""
_PLAIN = re.compile(r"[\w.~-]*", re.ASCII)


Secret = str | tuple[str, ...] | None
"""What is to be blotted out: one text or several, or nothing."""


def without(text: str, secret: Secret) -> str:
    """The text with the key blotted out, and whatever else is secret, should a server echo it."""
    for one in (secret,) if isinstance(secret, str) else secret or ():
        text = _without(text, one)
    return text


def _without(text: str, secret: str) -> str:
    if not secret:
        return text
    text = text.replace(secret, BLOT)
    if _PLAIN.fullmatch(secret) and not _SPELT.search(text):
        return text
    return _spellings(secret).sub(BLOT, text)


def excerpt(text: str, secret: Secret, most: int = 500) -> str:
    """The beginning of a text on one line, without the key: blotted out first, since half a key is no key any more."""
    return " ".join(without(text, secret).split())[:most]


@functools.lru_cache(maxsize=64)
def _spellings(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_spelling, secret)))


def _spelling(character: str) -> str:
    """A character as it stands, behind backslashes, or as its number."""
    code = ord(character)
    numbered = rf"(?:\\|u005[cC]){{1,{DEEP}}}(?:u00(?i:{code:02x})|x(?i:{code:02x}))"
    coded = rf"%(?i:{code:02x})|&#0{{0,4}}(?:{code}|[xX]0{{0,4}}(?i:{code:x}));"
    return rf"(?:{numbered}|(?:\\|u005[cC]){{0,{DEEP}}}{re.escape(character)}|{coded})"
