"""A judge: how near a response's text is to the nearest reference, by the vectors of an embedding."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import polars as pl

from pairwright.judges.base import Batch, Judge, cannot


class NearReference(Judge):
    """Cosine of a response to the closest of its prompt's references. Texts are embedded by the hashes of their letter
    trigrams; a model's encoder would stand in the same place."""

    kind: Literal["example-near-reference"] = "example-near-reference"
    reads: ClassVar[tuple[Literal["references", "domain"], ...]] = ("references",)
    size: int = 256
    """Numbers of a vector."""

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """One row a response; one that has no reference says so."""
        references = work.prompts.select("prompt_id", "references")
        rows = work.responses.join(references, on="prompt_id", how="left", maintain_order="left")
        without = pl.col("references").list.len() == 0
        yield cannot(rows.filter(without), "near-reference", "the prompt has no reference to compare with")
        rows = rows.filter(~without)
        nearest = [
            max(float(self._vector(text) @ self._vector(one)) for one in some)
            for text, some in rows.select("text", "references").iter_rows()
        ]
        keys = rows.select("prompt_id", "response_id", criterion=pl.lit("near-reference"))
        yield keys.with_columns(pl.Series("score", nearest, pl.Float64))

    def _vector(self, text: str) -> np.ndarray:
        """The text's vector, of length 1 unless the text has no trigram."""
        letters = np.frombuffer(text.lower().encode("utf-32-le"), np.uint32).astype(np.uint64)
        trigrams = letters[:-2] * 961 + letters[1:-1] * 31 + letters[2:] if len(letters) > 2 else letters[:0]
        counts = np.bincount((trigrams % self.size).astype(np.int64), minlength=self.size).astype(np.float64)
        return counts / max(float(np.linalg.norm(counts)), 1e-12)
