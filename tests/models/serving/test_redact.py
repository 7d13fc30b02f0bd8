"""A key that a server echoes is blotted out, however a program spells it, before a text is cut."""

import html
import json
import time
import urllib.parse

import pytest

from pairwright.models.serving.redact import excerpt, without

KEY = "sk-tEsT/0123+456_789~a.b"


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(one):04X}" for one in text)


SPELT = {
    "as it stands": KEY,
    "escaped for JSON": escaped(KEY),
    "in part": escaped("s") + KEY[1:],
    "escaped in small letters": escaped(KEY).lower(),
    "slashes": KEY.replace("/", "\\/"),
    "JSON in JSON": json.dumps(escaped(KEY))[1:-1],
    "JSON in JSON in JSON": json.dumps(json.dumps(escaped(KEY))[1:-1])[1:-1],
    "backslashes spelt, too": escaped(KEY).replace("\\", "\\u005c"),
    "for a URL": urllib.parse.quote(KEY, safe=""),
    "by numbers for HTML": "".join(f"&#{ord(one)};" for one in KEY),
    "by hexadecimal numbers": "".join(f"&#x{ord(one):X};" for one in KEY),
    "as Python does bytes": "".join(f"\\x{ord(one):02x}" for one in KEY),
}


@pytest.mark.parametrize("spelt", SPELT.values(), ids=SPELT)
def test_the_key_is_found_however_it_is_spelt(spelt: str) -> None:
    assert without(f'{{"a": "your key is {spelt}, is it?"}}', KEY) == '{"a": "your key is [key], is it?"}'


def test_other_texts_stay_as_they_are() -> None:
    text = json.dumps({"a": "\n\té \\ / % &#38; sk-tEsT " + html.escape("<&>"), "b": "C:\\sk"})
    assert without(text, KEY) == text
    assert without(text, None) == text


def test_it_is_blotted_out_before_a_text_is_cut() -> None:
    text = "x" * 490 + " " + escaped(KEY) + " and more"
    cut = excerpt(text, KEY)
    assert cut == "x" * 490 + " [key] and"
    assert "\n" not in excerpt("a\nb", KEY)


def test_hostile_texts_take_no_longer_than_others() -> None:
    began = time.monotonic()
    for hostile in ("\\" * 300_000, "\\u00" * 80_000, "\\u005c" * 50_000, "s" * 300_000 + "\\/"):
        without(hostile, KEY)
    assert time.monotonic() - began < 5
