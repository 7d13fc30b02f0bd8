"""BLEU against references as an annotator (BLEUBERI), and unigram F1 as its plain control."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import polars as pl

from pairwright.judges.base import Batch, Judge, cannot
from pairwright.judges.bleu.kernel import sentence_bleu, unigram_f1

NO_REFERENCE = "the prompt has no reference to compare with"


class Bleu(Judge):
    """Sentence BLEU of a response against the references of its prompt."""

    reads: ClassVar = ("references",)
    kind: Literal["bleu"] = "bleu"
    sees_prompt = False
    variant: Literal["nmt", "sacrebleu"] = "nmt"
    """nmt: smoothed on every order, brevity against the shortest reference, 0 to 1. sacrebleu: as that library's
    sentence score, 0 to 100."""
    references: Literal["joint", "mean"] = "joint"
    """joint: one score against all references. mean: the average of the scores against each."""

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """One row a response; without a reference, a row that says so."""
        scores = sentence_bleu(work.prompts, work.responses, variant=self.variant, references=self.references)
        yield scores.with_columns(criterion=pl.lit("bleu"))
        yield cannot(_without(scores, work), "bleu", NO_REFERENCE)


class UnigramF1(Judge):
    """Overlap of words with the best-matching reference, 0 to 1."""

    reads: ClassVar = ("references",)
    kind: Literal["unigram-f1"] = "unigram-f1"

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """One row a response; without a reference, a row that says so."""
        scores = unigram_f1(work.prompts, work.responses)
        yield scores.with_columns(criterion=pl.lit("unigram-f1"))
        yield cannot(_without(scores, work), "unigram-f1", NO_REFERENCE)


def _without(scores: pl.DataFrame, work: Batch) -> pl.DataFrame:
    if scores.height == work.responses.height:  # scores are of distinct responses
        return work.responses.clear()
    return work.responses.join(scores, on=["prompt_id", "response_id"], how="anti")
