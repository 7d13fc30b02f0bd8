"""Tokens are those of sacrebleu's tokenizer, and equal keys mean equal tokens."""

import polars as pl
import pytest
from helpers import SHARED
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from pairwright.judges.bleu.tokens_13a import SPACES, tokenise

DATA = SHARED

PIECES = [
    *["<skipped>", "-\n", "&quot;", "&amp;", "&lt;", "&gt;", "&amp;lt;", "lt;", "1.5", "..", ",,", "--", "-"],
    *SPACES,
    *list("aZ059.,'&;<>$^|\\\0\x07\x1aé漢ß٣²𝟓\u200b\ufeff"),
    "supercalifragilistic",
]


def differences(texts: list[str]) -> list[str]:
    """The texts whose tokens differ in number, or where key and token do not stand for each other."""
    expected = [Tokenizer13a()(text).split() for text in texts]
    tokens = tokenise(pl.Series(texts, dtype=pl.String))
    keys = tokens.keys.tolist()
    key_of: dict[str, int] = {}
    token_of: dict[int, str] = {}
    found, begin = [], 0
    for text, words, length in zip(texts, expected, tokens.lengths.tolist(), strict=True):
        pairs = list(zip(words, keys[begin : begin + length], strict=False))
        same = all(key_of.setdefault(w, k) == k and token_of.setdefault(k, w) == w for w, k in pairs)
        if len(words) != length or not same:
            found.append(text)
        begin += length + 1
    return found


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("1.5", ["1.5"]),
        ("1,000.5-2", ["1,000.5", "-", "2"]),
        (".5", [".", "5"]),
        ("a..5", ["a", ".", ".5"]),
        ("a...5", ["a", ".", ".", ".", "5"]),
        ("5..5", ["5", ".", ".", "5"]),
        ("5...5", ["5", ".", ".", ".5"]),
        ("5--6", ["5", "-", "-6"]),
        ("well-known -5", ["well-known", "-5"]),
        ("line-\nend", ["lineend"]),
        ("a <skipped>b-<skipped>\nc", ["a", "bc"]),
        ("&lt;skipped&gt;", ["<", "skipped", ">"]),
        ("&amp;quot; &amp;lt;", ["&", "quot", ";", "<"]),
        ("a\u3000b\x1cc\u00a0d\u200be", ["a", "b", "c", "d\u200be"]),
        ("٣.٣", ["٣", ".", "٣"]),
    ],
)
def test_tokens_of_a_text(text: str, tokens: list[str]) -> None:
    assert Tokenizer13a()(text).split() == tokens
    assert differences([text, *tokens]) == []


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=30), min_size=1))
def test_any_text_is_cut_as_sacrebleu_cuts_it(texts: list[str]) -> None:
    assert differences(texts) == []


@given(st.lists(st.text(alphabet="ab\0\x07é", min_size=1, max_size=90), min_size=1, max_size=30))
def test_only_equal_tokens_have_equal_keys(texts: list[str]) -> None:
    assert differences(texts) == []


def test_a_token_has_the_same_key_wherever_it_stands() -> None:
    word = "x" * 200
    tokens = tokenise(pl.Series([word, f"a {word}", f"{word}y", f"{word}."]))
    first, _, _, second, _, longer, _, third, _, _ = tokens.keys.tolist()
    assert first == second == third != longer


def test_rstrip_saves_a_last_dash_from_the_line_feed() -> None:
    texts = pl.Series(["a-\n \u3000", "a-"])
    assert len(set(tokenise(texts, rstrip=True).keys.tolist()[::2])) == 1
    assert len(set(tokenise(texts).keys.tolist()[::2])) == 2


def test_every_real_text_is_cut_as_sacrebleu_cuts_it() -> None:
    if not DATA.exists():
        pytest.skip(f"no real data at {DATA}")
    files = ["multi_response", "seed_prompts", "human_pairs", "llmbar_llm_references", "decontamination"]
    texts: set[str] = set()
    for name in files:
        frame = pl.read_parquet(DATA / f"{name}.parquet")
        texts.update(*(frame[column].drop_nulls() for column in frame.select(pl.col(pl.String)).columns))
    assert differences(sorted(texts)) == []
