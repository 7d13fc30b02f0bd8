"""Relevance of a response by sentence embeddings, held in check by length and repetition (R3).

r_x is the cosine of prompt and response, r_y that of reference and response (the closest reference). LI = words / 100,
RP = distinct trigrams / trigrams. Open-ended: r_x * LI * RP. With a reference: F(r_y) * RP. The source's constants of F
are not public; here it maps [0, 1] onto itself, with negative cosines at 0. r_x alone rewards copying the question.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from pairwright.judges.base import Batch, Judge
from pairwright.models.local.loading import device_of, options, prepare, told_in_one_line
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.models import ModelSource

WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+"
"""Words, or characters where a script writes none apart."""


class Relevance(Judge):
    """Scores a response by its closeness to the prompt or, where there is one, the reference."""

    version: ClassVar[int] = 2
    loads_model: ClassVar[bool] = True
    kind: Literal["relevance"] = "relevance"
    reads: ClassVar[tuple[Literal["references", "domain"], ...]] = ("references",)
    model: ModelSource
    """A sentence-transformers model."""
    form: Literal["auto", "open", "closed"] = "auto"
    """open compares with the prompt, closed with the references; auto is closed where there is a reference."""
    batch_size: Annotated[int, Field(ge=1), Runtime] = 64
    """Texts embedded at a time."""

    def headline(self) -> str:
        """The regularised reward."""
        return "relevance"

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Rows `relevance`, and its parts `to-prompt`, `to-reference`, `length` and `no-repetition`."""
        parts = _parts(work, _Encoder(_load(self.model, self.fingerprint), self.batch_size))
        open_ended = pl.col("to-prompt") * pl.col("length") * pl.col("no-repetition")
        closed = pl.col("to-reference").clip(0.0, 1.0) * pl.col("no-repetition")
        score = {"open": open_ended, "closed": closed, "auto": pl.coalesce(closed, open_ended)}[self.form]
        keys = ["prompt_id", "response_id"]
        without = pl.when(score.is_null()).then(pl.lit("the prompt has no reference to compare with"))
        yield parts.select(*keys, criterion=pl.lit("relevance"), score=score, failure=without, retry=pl.lit(False))
        for part in ("to-prompt", "to-reference", "length", "no-repetition"):
            yield parts.filter(pl.col(part).is_not_null()).select(*keys, criterion=pl.lit(part), score=part)


def _parts(work: Batch, encoder: "_Encoder") -> pl.DataFrame:
    """Per response: cosine to the prompt and to the closest reference (null where there is none), LI and RP."""
    query = pl.col("messages").list.last().struct.field("content")
    prompts = work.prompts.select("prompt_id", "references", query=query)
    rows = work.responses.select("prompt_id", "response_id", "text").join(
        prompts, on="prompt_id", how="left", maintain_order="left"
    )
    texts = pl.concat([rows["text"], rows["query"], rows["references"].explode().drop_nulls()]).unique().sort()
    vectors = encoder.encode(texts.to_list())
    place = {text: number for number, text in enumerate(texts)}
    own = vectors[[place[text] for text in rows["text"]]]
    asked = vectors[[place[text] for text in rows["query"]]]
    nearest = [
        max((float(vector @ vectors[place[text]]) for text in references), default=None)
        for vector, references in zip(own, rows["references"].to_list(), strict=True)
    ]
    words = rows["text"].str.to_lowercase().str.extract_all(WORD)
    return rows.select(
        "prompt_id",
        "response_id",
        pl.Series("to-prompt", (own * asked).sum(axis=1), pl.Float64),
        pl.Series("to-reference", nearest, pl.Float64),
        (words.list.len() / 100).alias("length"),
        pl.Series("no-repetition", [_distinct(one) for one in words], pl.Float64),
    )


def _distinct(words: Sequence[str]) -> float:
    """Share of distinct trigrams; 1 for fewer than three words."""
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) / len(trigrams) if trigrams else 1.0


class _Encoder:
    """Unit vectors of texts of any length."""

    def __init__(self, model: Any, batch_size: int) -> None:
        self.batch_size = batch_size
        self._model = model

    def encode(self, texts: list[str]) -> np.ndarray:
        """One unit vector a text, in 64 bits: the mean over pieces of at most the model's length, none left out."""
        pieces = [self._pieces(text) for text in texts]
        encoded = self._model.encode(
            [piece for some in pieces for piece in some], batch_size=self.batch_size, show_progress_bar=False
        )
        ends = np.cumsum([len(some) for some in pieces])[:-1]
        means = np.stack([one.astype(np.float64).mean(axis=0) for one in np.split(encoded, ends)])
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)

    def _pieces(self, text: str) -> list[str]:
        """The text, cut where the model would stop reading."""
        room = self._model.max_seq_length - self._model.tokenizer.num_special_tokens_to_add()
        if len(text.encode()) <= room:  # no token is less than a byte, though many are less than a letter
            return [text]
        offsets = self._model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        starts = [offsets["offset_mapping"][i][0] for i in range(room, len(offsets["offset_mapping"]), room)]
        return [text[a:b] for a, b in zip([0, *starts], [*starts, len(text)], strict=True)]


@functools.lru_cache(maxsize=1)
def _load(model: ModelSource, content: str) -> Any:
    """The model, kept for the next batch; `content` names its content: a folder with new weights is loaded anew."""
    prepare()
    with told_in_one_line(model):
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            model.where,
            device=device_of(model),
            trust_remote_code=False,
            **options(model),
            model_kwargs={"use_safetensors": True},
        )
