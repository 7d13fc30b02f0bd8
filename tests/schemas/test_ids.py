"""Ids are functions of content, the same on every machine and for ever."""

import random
import subprocess
import sys

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pairwright.schemas.ids import (
    digest,
    fingerprint,
    prompt_id,
    prompt_ids,
    references_id,
    references_ids,
    response_id,
    response_ids,
    shard_of,
)
from pairwright.schemas.tables import MESSAGES

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
USER = [{"role": "user", "content": "What is 2 + 2?"}]


def test_golden_ids() -> None:
    """Written down once from blake2b of length-prefixed parts: a change here orphans all that was ever judged."""
    assert digest() == "b8e1dda3ac0aa3820ad2990b"
    assert digest("a", "bc") == "95881179b567b09c5fdcaa10"
    assert prompt_id(USER) == "373b9823df5c39911dde259f"
    assert response_id("373b9823df5c39911dde259f", "4 — naïve 東京 🙂\n") == "7e81ccc20c71837dd479c220"
    assert response_id("373b9823df5c39911dde259f", "4 — naïve 東京 🙂\n", None, None) == "7e81ccc20c71837dd479c220"
    assert references_id(["4", "four"]) == "4d13947238220ac3613cdf97"
    assert fingerprint({"kind": "bleu", "b": [1, 2.5, None, True], "ü": "東"}) == "09e1d2fc81795a11"


def test_golden_id_by_hand() -> None:
    """The definition, spelt out: eight bytes of length, little end first, before each part."""
    import hashlib

    parts = [b"prompt", b"user", b"What is 2 + 2?"]
    data = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    assert prompt_id(USER) == hashlib.blake2b(data, digest_size=12).hexdigest()


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_different_lists_of_parts_have_different_ids(a: list[str], b: list[str]) -> None:
    assert (digest(*a) == digest(*b)) == (a == b)


TURN = st.fixed_dictionaries({"role": TEXT, "content": TEXT})


@given(st.lists(st.lists(TURN, max_size=3), max_size=4), st.integers(0, 2))
def test_many_conversations_are_called_as_each_by_itself(conversations: list[list[dict[str, str]]], cut: int) -> None:
    many = pl.Series(conversations, dtype=MESSAGES)[cut:]
    assert prompt_ids(many).to_list() == [prompt_id(one) for one in many.to_list()]


@given(st.lists(st.lists(TEXT, max_size=3), max_size=4), st.integers(0, 2))
def test_many_lists_of_references_are_called_as_each_by_itself(lists: list[list[str]], cut: int) -> None:
    many = pl.Series(lists, dtype=pl.List(pl.String))[cut:]
    assert references_ids(many).to_list() == [references_id(one) for one in many.to_list()]


@given(st.lists(st.tuples(TEXT, TEXT), max_size=4), st.integers(0, 2))
def test_many_texts_are_called_as_each_by_itself(rows: list[tuple[str, str]], cut: int) -> None:
    many = pl.DataFrame(rows, {"prompt": pl.String, "text": pl.String}, orient="row")[cut:]
    assert response_ids(many["prompt"], many["text"]).to_list() == [response_id(*row) for row in many.iter_rows()]


def test_parts_do_not_run_into_each_other() -> None:
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("abc", ""), digest("", "abc")}) == 5
    assert prompt_id([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]) != prompt_id(
        [{"role": "user", "content": "auserb"}]
    )
    assert references_id(["a", "b"]) not in {references_id(["b", "a"]), references_id(["ab"]), references_id([])}


def test_what_led_to_an_answer_tells_responses_apart() -> None:
    calls = '[{"arguments":{},"id":"c","name":"f"}]'
    several = [{}, {"reasoning": "so"}, {"reasoning": calls}, {"tool_calls": calls}]
    several.append({"reasoning": "so", "tool_calls": calls})
    assert len({response_id("p", "a", **one) for one in several}) == 5
    assert response_id("p", "a", "", "") == response_id("p", "a")
    assert response_id("p", "a", "so") == digest("response", "p", "a", "reasoning", "so")


def test_text_is_not_normalised() -> None:
    assert response_id("p", "é") != response_id("p", "e\u0301")
    assert response_id("p", "a") != response_id("p", "a ")


@given(st.dictionaries(TEXT, st.integers() | TEXT | st.floats(allow_nan=False, allow_infinity=False)), st.randoms())
def test_fingerprints_do_not_depend_on_the_order_of_keys(content: dict[str, object], shuffler: random.Random) -> None:
    items = list(content.items())
    shuffler.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(content)


@given(st.lists(TEXT, min_size=1, max_size=30), st.integers(1, 4096))
def test_shards_are_ranges_of_ids_in_order(texts: list[str], shards: int) -> None:
    ids = sorted(digest(text) for text in texts)
    found = _shards(ids, shards)
    assert found == sorted(found)
    assert all(0 <= one < shards for one in found)


def test_first_and_last_id_are_in_the_first_and_last_shard() -> None:
    assert [_shards(["0" * 24], n)[0] for n in (1, 3, 4096)] == [0, 0, 0]
    assert [_shards(["f" * 24], n)[0] for n in (1, 3, 4096)] == [0, 2, 4095]


def _shards(ids: list[str], shards: int) -> list[int]:
    return pl.DataFrame({"id": ids}).select(shard_of(pl.col("id"), shards)).to_series().to_list()


def test_ids_of_many_do_not_import_pandas() -> None:
    """As Arrow does for an array on its way to numpy, or a scalar: a tenth of an unchanged build."""
    code = (
        "import sys, polars as pl; from pairwright.schemas.ids import response_ids; "
        "ids = response_ids(pl.Series(['p']), pl.Series(['text'])); sys.exit('pandas.core' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
