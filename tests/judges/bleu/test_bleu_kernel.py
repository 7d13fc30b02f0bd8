"""BLEU equals sacrebleu's and a plain rendering of nmt_bleu, on any text and in any batch."""

import math
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers import SHARED
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from pairwright.judges.bleu import kernel
from pairwright.judges.bleu.kernel import sentence_bleu, unigram_f1

DATA = SHARED
Case = tuple[list[str], list[str]]  # references, responses

FRANCE = ["Paris is the capital of France.", "The capital city of France is Paris, of course."]
CASES: list[Case] = [
    (FRANCE, ["The capital of France is Paris.", "Paris.", "", "of of of of the"]),
    (["a b c d e f"], ["a b c d e f", "a b c", "f e d c b a", "z", "a a a b b"]),
    (["1.5 apples &amp; pears", "1.5 apples & pears"], ["1.5 apples & pears", "1 . 5 apples"]),
    (["東京は日本の首都です。"], ["東京は日本の首都です。", "東京"]),
]


def tables(cases: list[Case]) -> tuple[pl.DataFrame, pl.DataFrame]:
    prompts = pl.DataFrame(
        {"prompt_id": [f"p{i}" for i in range(len(cases))], "references": [refs for refs, _ in cases]},
        schema={"prompt_id": pl.String, "references": pl.List(pl.String)},
    )
    rows = [(f"p{i}", f"r{i}-{j}", text) for i, (_, texts) in enumerate(cases) for j, text in enumerate(texts)]
    schema = {"prompt_id": pl.String, "response_id": pl.String, "text": pl.String}
    return prompts, pl.DataFrame(rows, schema=schema, orient="row")


def scores(cases: list[Case], **options: Any) -> dict[str, float]:
    frame = sentence_bleu(*tables(cases), **options)
    return dict(zip(frame["response_id"], frame["score"], strict=True))


def grams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def plain_nmt(references: list[str], response: str) -> float:
    tokenizer = Tokenizer13a()
    words, refs = tokenizer(response).split(), [tokenizer(r).split() for r in references]
    if not words or not any(refs):
        return 0.0
    log_sum = 0.0
    for n in range(1, 5):
        most: Counter[tuple[str, ...]] = Counter()
        for ref in refs:
            most |= grams(ref, n)
        match = (grams(words, n) & most).total()
        log_sum += math.log((match + 1) / (max(len(words) - n + 1, 0) + 1)) / 4
    shortest = min(map(len, refs))
    brevity = 1.0 if len(words) > shortest else math.exp(1 - shortest / len(words))
    return brevity * math.exp(log_sum)


def plain_f1(references: list[str], response: str) -> float:
    words, *refs = (grams(Tokenizer13a()(text).split(), 1) for text in (response, *references))
    return max(2 * (words & ref).total() / max((words + ref).total(), 1) for ref in refs)


def plain_sacrebleu(references: list[str], response: str) -> float:
    return BLEU(effective_order=True).sentence_score(response, references).score


def check(cases: list[Case]) -> None:
    """All variants against their plain counterparts."""
    prompts, responses = tables(cases)
    nmt, sacre = scores(cases), scores(cases, variant="sacrebleu")
    mean = scores(cases, references="mean")
    f1 = unigram_f1(prompts, responses)
    overlap = dict(zip(f1["response_id"], f1["score"], strict=True))
    assert set(nmt) == set(sacre) == set(mean) == set(overlap)
    for prompt, (references, texts) in enumerate(cases):
        for j, text in enumerate(texts if references else []):
            row = f"r{prompt}-{j}"
            assert nmt[row] == pytest.approx(plain_nmt(references, text), rel=1e-12)
            assert sacre[row] == pytest.approx(plain_sacrebleu(references, text), abs=1e-9)
            assert mean[row] == pytest.approx(np.mean([plain_nmt([r], text) for r in references]), rel=1e-12)
            assert overlap[row] == pytest.approx(plain_f1(references, text), rel=1e-12)


@pytest.mark.parametrize(
    ("references", "response", "score"),
    [
        (FRANCE[:1], "The capital of France is Paris.", 0.397635),
        (FRANCE, "The capital of France is Paris.", 0.691442),
        (FRANCE, "Paris.", 0.069025),
    ],
)
def test_golden_values_of_bleuscore(references: list[str], response: str, score: float) -> None:
    """Computed by bleuscore 0.2.0, an independent implementation of nmt_bleu, with smooth=True."""
    assert scores([(references, [response])]) == {"r0-0": pytest.approx(score, abs=5e-7)}


def test_cases_against_the_plain_counterparts() -> None:
    check(CASES)


WORDS = [*"ab.,-\u3000\x1c", "the", "1.5", "5-", "-\n", "&amp;", "<skipped>", "extraordinary", "é漢"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=20)


@given(st.lists(st.tuples(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4)), max_size=5))
def test_any_text_against_the_plain_counterparts(cases: list[Case]) -> None:
    check(cases)


def real_cases() -> list[Case]:
    """Prompts with references, or with their first response as one: several languages, code, refusals."""
    if not DATA.exists():
        pytest.skip(f"no real data at {DATA}")
    answers = pl.read_parquet(DATA / "multi_response.parquet").sort("prompt_id", "response_id")
    known = [pl.read_parquet(DATA / f"{name}.parquet") for name in ("seed_prompts", "human_pairs")]
    written = pl.concat([frame.select("prompt", "references") for frame in known]).drop_nulls()
    written = written.filter(pl.col("references").list.len() > 0).unique("prompt", keep="first", maintain_order=True)
    own = pl.col("response").filter(pl.col("role") == "reference")
    joined = (
        answers.group_by("prompt", maintain_order=True).agg("response", own=own).join(written, on="prompt", how="left")
    )
    references = pl.coalesce(
        "references", pl.when(pl.col("own").list.len() > 0).then("own"), pl.col("response").list.head(1)
    )
    return list(joined.select(references, "response").iter_rows())


def test_every_real_response_scores_as_in_sacrebleu() -> None:
    cases = real_cases()
    found = scores(cases, variant="sacrebleu")
    bleu = BLEU(effective_order=True)
    expected = {
        f"r{i}-{j}": bleu.sentence_score(text, references).score
        for i, (references, texts) in enumerate(cases)
        for j, text in enumerate(texts)
    }
    assert len(found) == len(expected) > 8000
    assert max(abs(found[row] - score) for row, score in expected.items()) < 1e-9


def test_real_responses_score_as_their_plain_counterparts() -> None:
    check(real_cases()[::7])


@pytest.mark.parametrize("variant", ["nmt", "sacrebleu"])
@pytest.mark.parametrize("references", ["joint", "mean"])
def test_a_score_has_the_same_bits_in_any_batch(monkeypatch: pytest.MonkeyPatch, variant: str, references: str) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(0, 60))) for _ in range(400)]
    cases = [(texts[i : i + 1 + i % 5], texts[i + 5 : i + 9]) for i in range(0, 390, 9)]
    options: dict[str, Any] = {"variant": variant, "references": references}
    whole = scores(cases, **options)
    prompts, responses = tables(cases)
    shuffled = sentence_bleu(
        prompts.sample(fraction=1, shuffle=True, seed=1),
        responses.sample(fraction=1, shuffle=True, seed=2),
        **options,
    )
    assert shuffled.equals(sentence_bleu(prompts, responses, **options))
    for i, (refs, rows) in enumerate(cases):
        for j, text in enumerate(rows):
            assert scores([(refs, [text])], **options)["r0-0"] == whole[f"r{i}-{j}"]
    monkeypatch.setattr(kernel, "CHUNK_BYTES", 300)
    assert scores(cases, **options) == whole


def test_a_score_has_the_same_bits_on_any_number_of_threads() -> None:
    program = (
        "import polars as pl; from pairwright.judges.bleu.kernel import sentence_bleu\n"
        "t = [' '.join(str(i * j % 7) for j in range(30)) for i in range(300)]\n"
        "p = pl.DataFrame({'prompt_id': t, 'references': [[x[:40], x[9:]] for x in t]}).unique('prompt_id')\n"
        "r = p.select('prompt_id', response_id='prompt_id', text=pl.col('prompt_id').str.slice(5))\n"
        "print([s.hex() for s in sentence_bleu(p, r, references='mean')['score']])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"POLARS_MAX_THREADS": threads},
            capture_output=True,
            check=True,
        ).stdout
        for threads in ("1", "4")
    ]
    assert runs[0] == runs[1]


def test_rows_without_anything_to_compare_are_absent() -> None:
    prompts = pl.DataFrame({"prompt_id": ["a", "b", "c", "d"], "references": [["x"], [], None, [None]]})
    responses = pl.DataFrame(
        {
            "prompt_id": ["d", "e", "c", "b", "a", "a"],
            "response_id": ["6", "5", "4", "3", "2", "1"],
            "text": ["x", "x", "x", "x", None, "x"],
        }
    )
    expected = pl.DataFrame({"prompt_id": ["a"], "response_id": ["1"], "score": [1.0]})
    assert sentence_bleu(prompts, responses).equals(expected)
    assert unigram_f1(prompts, responses).equals(expected)
    nothing = prompts.with_columns(references=pl.lit(None))
    assert sentence_bleu(nothing, responses).schema == expected.schema
    assert sentence_bleu(prompts, responses.clear()).equals(expected.clear())
    assert sentence_bleu(prompts.clear(), responses).equals(expected.clear())


def test_an_empty_text_scores_nothing_and_an_empty_reference_lifts_brevity() -> None:
    text = "the cat sat on"
    longer = "the cat sat on the mat"
    assert scores([([longer], ["", " \n", text]), ([""], [text, ""]), (["", " "], [text])]) == {
        "r0-0": 0.0,
        "r0-1": 0.0,
        "r0-2": pytest.approx(math.exp(1 - 6 / 4)),
        "r1-0": 0.0,
        "r1-1": 0.0,
        "r2-0": 0.0,
    }
    assert scores([(["", longer], [text])]) == {"r0-0": 1.0}
    assert scores([(["", longer], [text])], references="mean") == {"r0-0": pytest.approx(math.exp(-0.5) / 2)}


def test_a_repeated_reference_changes_nothing_in_the_joint_score() -> None:
    (references, texts), *_ = CASES
    for variant in ("nmt", "sacrebleu"):
        once, thrice = (scores([(references * k, texts)], variant=variant) for k in (1, 3))
        assert once == thrice


@pytest.mark.parametrize("shift", [3, 58])
def test_numbers_too_large_to_pack_are_sorted_all_the_same(shift: int) -> None:
    first = np.random.default_rng(0).integers(0, 9, 500) << shift
    second = np.arange(500)[::-1].copy()
    order = np.lexsort((second, first))
    sorted_first, sorted_second = kernel._sort(first, second)
    assert sorted_first.tolist() == first[order].tolist()
    assert sorted_second.tolist() == second[order].tolist()


@pytest.mark.parametrize("option", ["variant", "references"])
def test_an_unknown_option_names_the_allowed_ones(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 'rouge'; it must be one of"):
        scores(CASES, **{option: "rouge"})


def test_a_repeated_prompt_is_an_error() -> None:
    prompts, responses = tables(CASES)
    with pytest.raises(pl.exceptions.ComputeError, match="m:1"):
        sentence_bleu(pl.concat([prompts, prompts]), responses)
