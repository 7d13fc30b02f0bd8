"""Sentence BLEU against sacrebleu, on one core: four responses a prompt, 65 words a text, one reference.

Run `python benchmarks/bleu.py`. The two take turns, and the median of the rounds' ratios counts: a machine
that slows down for a while slows both. sacrebleu scores every fifth prompt of the same table, to save time.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # polars reads it when it is imported

import numpy as np
import polars as pl
from sacrebleu.metrics import BLEU

from pairwright.judges.bleu.kernel import sentence_bleu

PROMPTS, RESPONSES, WORDS, ROUNDS, SPARSE = 5000, 4, 65, 7, 5
LETTERS = list("etaoinshrdlucmfwypvbgkjqxz")
MARKS = [",", ",", ",", ".", ".", ";", "!", "'s", ")", ":", "-"]


def tables(seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Prompts and responses of words by Zipf's law, punctuated; a response quotes part of its reference."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.poisson(np.linspace(3, 8, 20_000)), 1, None)
    vocabulary = np.array(["".join(rng.choice(LETTERS, n)) for n in lengths], dtype=object)
    frequency = 1 / np.arange(1, len(vocabulary) + 1)
    words = rng.choice(vocabulary, (PROMPTS, 1 + RESPONSES, WORDS), p=frequency / frequency.sum())
    marked = rng.random(words.shape) < 0.1
    words[marked] += rng.choice(MARKS, marked.sum()).astype(object)
    references, rows = [], []
    for p, (reference, *responses) in enumerate(words):
        references.append((f"p{p}", [" ".join(reference) + "."]))
        for r, response in enumerate(responses):
            begin, end = np.sort(rng.integers(0, WORDS // 2, 2))
            response[begin:end] = reference[begin:end]
            rows.append((f"p{p}", f"p{p}r{r}", " ".join(response) + "."))
    return (
        pl.DataFrame(references, schema=["prompt_id", "references"], orient="row"),
        pl.DataFrame(rows, schema=["prompt_id", "response_id", "text"], orient="row"),
    )


def sacrebleu_scores(references: list[list[str]], texts: list[str]) -> list[float]:
    # a new object each time, since its tokenizer remembers the texts it has seen
    bleu = BLEU(effective_order=True)
    return [bleu.sentence_score(text, refs).score for text, refs in zip(texts, references, strict=True)]


@contextmanager
def one_core() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure() -> dict[str, float]:
    """bleu_vs_sacrebleu is how many times faster the kernel is; the others are responses a second."""
    prompts, responses = tables()
    sample = responses.join(prompts.gather_every(SPARSE), on="prompt_id")
    references, texts = sample["references"].to_list(), sample["text"].to_list()
    ours, theirs = [], []
    with one_core():
        for _ in range(ROUNDS):
            start = time.perf_counter()
            scores = sentence_bleu(prompts, responses, variant="sacrebleu")
            middle = time.perf_counter()
            expected = sacrebleu_scores(references, texts)
            end = time.perf_counter()
            found = sample.join(scores, on="response_id", maintain_order="left")["score"]
            if not np.allclose(found, expected, rtol=0, atol=1e-9):
                raise AssertionError("the kernel and sacrebleu do not agree")
            ours.append(len(responses) / (middle - start))
            theirs.append(len(texts) / (end - middle))
    return {
        "bleu_vs_sacrebleu": median(a / b for a, b in zip(ours, theirs, strict=True)),
        "bleu_responses_per_s": median(ours),
        "sacrebleu_responses_per_s": median(theirs),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name}: {value:,.1f}")
