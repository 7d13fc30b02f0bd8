"""Splits: by prompt id, together with near-duplicates, and never from test back to train."""

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.assets.intake.splits import TEMPLATE, assign_splits, sketches
from pairwright.schemas.ids import digest


def prompts(texts: list[str], given_splits: list[str | None] | None = None) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "prompt_id": [digest("p", text) for text in texts],
            "text": texts,
            "split": given_splits or [None] * len(texts),
        },
        schema={"prompt_id": pl.String, "text": pl.String, "split": pl.String},
    )
    return frame.join(sketches(frame.select("prompt_id", "text")), on="prompt_id")


def splits(texts: list[str], fraction: float, given_splits: list[str | None] | None = None) -> dict[str, str]:
    frame = prompts(texts, given_splits)
    found = dict(assign_splits(frame, fraction).iter_rows())
    return {text: found[digest("p", text)] for text in texts}


def words(seed: int, count: int = 40) -> list[str]:
    return [f"w{random.Random(seed * 1000 + i).randrange(10**6)}" for i in range(count)]


def test_the_share_of_test_is_about_what_was_asked() -> None:
    found = splits([" ".join(words(i)) for i in range(4000)], 0.1)
    share = list(found.values()).count("test") / 4000
    assert 0.08 < share < 0.12, "ten binomial deviations off is no accident"


@pytest.mark.parametrize("edit", [0, 1, 2])
def test_near_duplicates_share_a_split(edit: int) -> None:
    texts = []
    for i in range(300):
        own = words(i)
        texts += [" ".join(own), " ".join(own[edit:]) + ("!" if not edit else ""), " ".join(own[::-1]).upper()]
    found = splits(texts, 0.5)
    apart = sum(len({found[text] for text in texts[i : i + 3]}) > 1 for i in range(0, len(texts), 3))
    assert apart <= 3, "locality-sensitive hashing misses a near-duplicate in hundreds, no more"
    assert set(found.values()) == {"train", "test"}


def test_a_template_is_not_one_group() -> None:
    shared = " ".join(words(0, 60))
    texts = [f"{shared} x{i}" for i in range(20 * TEMPLATE)]
    assert set(splits(texts, 0.5).values()) == {"train", "test"}


def test_what_the_source_says_counts_even_without_a_test_fraction() -> None:
    texts = ["one", "two", "three", "four"]
    said: list[str | None] = ["test", "train", "Test", None]
    for fraction in (0.0, 0.5):
        found = splits(texts, fraction, said)
        assert (found["one"], found["two"], found["three"]) == ("test", "train", "test")
    assert splits(texts, 0.0, said)["four"] == "train"
    assert splits(["one", "two"], 0.5, ["validation", "dev"]) == {"one": "validation", "two": "validation"}
    assert set(splits(["a b c d", "A B C D!"], 0.0, ["train", "validation"]).values()) == {"validation"}
    assert splits(["a b c d", "A B C D!"], 0.0, ["test", "train"]) == {"a b c d": "test", "A B C D!": "test"}


def test_texts_without_a_word_have_a_split_of_their_own() -> None:
    texts = ["?", "!", "…", "🙂", "", " "] + [f"{'?' * i}" for i in range(2, 200)]
    assert set(splits(texts, 0.5).values()) == {"train", "test"}


def test_sketches_do_not_depend_on_the_rows_around_them() -> None:
    texts = [" ".join(words(i, 3)) for i in range(50)] + ["東京は日本の首都です", "?"]
    together = dict(prompts(texts).select("prompt_id", "sketch").iter_rows())
    for text in texts:
        assert dict(prompts([text]).select("prompt_id", "sketch").iter_rows()) == {
            digest("p", text): together[digest("p", text)]
        }


VARIANT = st.tuples(st.integers(0, 3), st.lists(st.integers(0, 19), max_size=7), st.integers(0, 9))


@settings(max_examples=60)
@given(st.lists(VARIANT, min_size=2, max_size=14, unique_by=str), st.data())
def test_as_data_grows_a_prompt_never_leaves_test_for_train(
    variants: list[tuple[int, list[int], int]], data: st.DataObject
) -> None:
    texts = []
    for family, replaced, seed in variants:
        own = words(family, 20)
        for place in replaced:
            own[place] = f"r{seed}x{place}"
        texts.append(" ".join(own))
    texts = list(dict.fromkeys(texts))
    size = data.draw(st.integers(1, len(texts)))
    before, after = splits(texts[:size], 0.4), splits(texts, 0.4)
    assert not [text for text in before if before[text] == "test" and after[text] == "train"]


def test_newcomers_that_share_hashes_do_not_part_near_duplicates() -> None:
    """Compared with the first of their hash only, a pair came apart in 4 of these data sets when prompts joined."""
    in_test = 0
    for seed in range(250):
        own = words(seed, 30)
        pair = [" ".join(own), " ".join([*own[:-2], "other", "words"])]
        pick = random.Random(seed)
        newcomers = [" ".join(pick.sample(own, 26) + [f"n{seed}x{k}x{i}" for i in range(4)]) for k in range(14)]
        before, after = splits(pair, 0.5), splits(pair + newcomers, 0.5)
        in_test += before[pair[0]] == "test"
        assert not [text for text in pair if before[text] == "test" and after[text] == "train"]
    assert in_test > 100
