"""From prompts and responses to rows of the likelihoods table: render, read, reduce."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl

from pairwright.models.local.backend import Backend, Readings
from pairwright.models.local.packing import Branch
from pairwright.models.local.rendering import RefusalError, Renderer, Text
from pairwright.models.local.request import PassRequest, utterance_id
from pairwright.models.local.turns import CALLS, Turns, each_turns
from pairwright.schemas.paid_tables import Likelihoods
from pairwright.schemas.tables import types

WINDOW = 250_000
"""Characters of prompts and responses that are rendered, read and yielded at a time: what a kill can cost."""


class Work(Protocol):
    """Whole prompts with their responses, as rows of those tables, sorted by id."""

    @property
    def prompts(self) -> pl.DataFrame:
        """prompt_id, messages and what contexts read."""

    @property
    def responses(self) -> pl.DataFrame:
        """prompt_id, response_id, text and, where it is known, tool_calls."""


class _Prompt(NamedTuple):
    """A prompt with its responses, rendered."""

    prompt_id: str
    response_ids: list[str]
    texts: list[Text | None]
    tails: list[tuple[int, list[tuple[list[int], int]]] | None]
    """Per response: how many of its tokens the follow-ups go on from, and each one's ids and first token."""
    refused: Mapping[int, str] = {}
    """Why responses are not read, by their place: all of them where the model's template does not take the prompt."""


def read(work: Work, need: PassRequest, backend: Backend) -> Iterator[pl.DataFrame]:
    """Rows of the likelihoods table for all responses of whole prompts, some prompts at a time."""
    renderer = Renderer(backend.tokenizer, backend.limit, f"model {need.model.id!r}")
    tails = renderer.tails(need.follow_ups) if need.follow_ups else []
    for prompts, responses in windows(need.context.apply(work.prompts), work.responses):
        rendered = [
            _render(renderer, prompt_id, turns, responses[prompt_id], need.follow_ups, tails)
            for prompt_id, turns in prompts
        ]
        groups = [_branches(index, one, "hidden" in need.wants) for index, one in enumerate(rendered)]
        readings = backend.read(groups)
        ended = renderer.end is not None
        rows = [row for i, one in enumerate(rendered) for row in _rows(i, one, readings, need, ended, backend.limit)]
        columns = {name: kind for name, kind in types(Likelihoods).items() if name != "evidence"}
        yield pl.DataFrame(rows, schema=columns)


def count_tokens(work: Work, need: PassRequest, tokenizer: Any, limit: int) -> int:
    """Tokens of these responses, each with its prompt and follow-ups: as many as the rows will say that were read."""
    renderer = Renderer(tokenizer, limit, f"model {need.model.id!r}")
    tails = sum(len(ids) - start for ids, start in renderer.tails(need.follow_ups)) if need.follow_ups else 0
    count = 0
    for prompts, responses in windows(need.context.apply(work.prompts), work.responses):
        for prompt_id, turns in prompts:
            with suppress(RefusalError):  # nothing of it will be read
                texts = renderer.texts_of(turns, [text for _, text in responses[prompt_id] if text is not None])
                count += sum(len(text.ids) - 1 + tails for text in texts if text)
    return count


def windows(prompts: pl.DataFrame, responses: pl.DataFrame) -> Iterator[tuple[list[Any], dict[str, list[Any]]]]:
    """Some prompts at a time as (prompt_id, turns), and their responses as prompt_id → [(response_id, text)].

    Of a response with tool calls, which no text holds, the text is None.
    """
    if "tool_calls" in responses.columns:
        responses = responses.with_columns(text=pl.when(pl.col("tool_calls").is_null()).then("text"))
    sizes = responses.group_by("prompt_id").agg(texts=pl.col("text").str.len_chars().sum(), count=pl.len())
    own = pl.col("messages").list.eval(pl.element().struct.field("content").str.len_chars()).list.sum()
    sized = prompts.join(sizes, on="prompt_id", maintain_order="left")
    piece = (pl.col("texts") + own * pl.col("count")).cum_sum() // WINDOW
    for some in sized.with_columns(piece=piece).partition_by("piece", maintain_order=True):
        theirs = responses.join(some, on="prompt_id", how="semi", maintain_order="left")
        grouped = theirs.group_by("prompt_id", maintain_order=True).agg("response_id", "text")
        by_prompt = {pid: list(zip(ids, texts, strict=True)) for pid, ids, texts in grouped.iter_rows()}
        yield list(each_turns(some)), by_prompt


def _render(
    renderer: Renderer,
    prompt_id: str,
    turns: Turns,
    responses: list[tuple[str, str | None]],
    follow_ups: Sequence[str],
    tails: list[tuple[list[int], int]],
) -> _Prompt:
    ids = [response_id for response_id, _ in responses]
    readable = {number: text for number, (_, text) in enumerate(responses) if text is not None}
    try:
        found = dict(zip(readable, renderer.texts_of(turns, list(readable.values())), strict=True))
    except RefusalError as refusal:
        why = dict.fromkeys(range(len(ids)), str(refusal))
        return _Prompt(prompt_id, ids, [None] * len(ids), [None] * len(ids), why)
    texts = [found.get(number) for number in range(len(ids))]
    behind = [
        _tails(renderer, text, readable[number], follow_ups, tails) if text and follow_ups else None
        for number, text in enumerate(texts)
    ]
    return _Prompt(prompt_id, ids, texts, behind, dict.fromkeys(set(range(len(ids))) - set(readable), CALLS))


def _tails(
    renderer: Renderer, text: Text, response: str, follow_ups: Sequence[str], tails: list[tuple[list[int], int]]
) -> tuple[int, list[tuple[list[int], int]]] | None:
    """Where follow-ups go on from, and with which tokens; None where they do not fit.

    Their tokens are the same behind every response as long as the tokenizer cuts where the response ends; one
    follow-up is tokenised behind this response to see whether it does.
    """
    read = text.ids[:-1]
    whole, _ = renderer.follow_up_texts(text.prompt, response, follow_ups[:1])[0]
    keep = len(read)
    if text.shortened(whole) != read + tails[0][0]:
        every = renderer.follow_up_texts(text.prompt, response, follow_ups)
        every = [(text.shortened(ids), start - text.cut) for ids, start in every]
        keep = min(_same(read, ids, start - 1) for ids, start in every)
        tails = [(ids[keep:], start - keep) for ids, start in every]
    if min(start for _, start in tails) < 1:  # a token is predicted from the one before it
        keep -= 1
        tails = [([read[keep], *ids], start + 1) for ids, start in tails]
    if keep + max(len(ids) for ids, _ in tails) > renderer.limit:
        return None
    return keep, tails


def _same(a: Sequence[int], b: Sequence[int], most: int) -> int:
    """How many tokens both begin with, at most `most`."""
    length = min(len(a), len(b), most)
    return next((i for i in range(length) if a[i] != b[i]), length)


def _branches(index: int, prompt: _Prompt, hidden: bool) -> list[Branch]:
    made = []
    for number, (text, behind) in enumerate(zip(prompt.texts, prompt.tails, strict=True)):
        if text is None:
            continue
        keep, tails = behind or (0, [])
        further = tuple(Branch(ids, start, (index, number, k)) for k, (ids, start) in enumerate(tails))
        made.append(Branch(text.ids, text.start, (index, number), keep, further, hidden))
    return made


def _rows(
    index: int, prompt: _Prompt, readings: Readings, need: PassRequest, ended: bool, limit: int
) -> Iterator[dict[str, Any]]:
    """One row a response."""
    grams = _grams(index, prompt, readings) if "hidden" in need.wants else {}
    for number, (response_id, text) in enumerate(zip(prompt.response_ids, prompt.texts, strict=True)):
        row: dict[str, Any] = {"prompt_id": prompt.prompt_id, "response_id": response_id, "retry": False}
        if text is None:
            unfit = f"the response does not fit in the model's {limit} tokens"
            yield {**row, "failure": prompt.refused.get(number, unfit)}
            continue
        if not _all_finite(index, number, prompt, readings):
            found = (readings.get(sink) for sink in _sinks(index, number, prompt))  # behind what failed is nothing
            reason = next((one.failure for one in found if one and one.failure), None)
            told = reason or "a log-probability is not a finite number"
            yield {**row, "failure": told, "retry": reason is not None}
            continue
        scores = readings[index, number].logprobs
        ids = text.ids[text.start : -1]
        row |= {
            "logprob": float(scores[: len(ids)].sum()),
            "tokens": len(ids),
            "end_logprob": float(scores[-1]) if ended else None,
            "prompt_tokens": text.start,
            "truncated": text.truncated,
            "gram": grams.get(number),
        }
        if "tokens" in need.wants:
            row |= {"token_ids": ids, "token_logprobs": scores[: len(ids)].tolist()}
        if need.follow_ups:
            row["follow_ups"] = _follow_ups(index, number, prompt, readings, need)
        yield row


def _all_finite(index: int, number: int, prompt: _Prompt, readings: Readings) -> bool:
    """Whether the model gave numbers for a response and for all follow-ups behind it."""
    return all(readings[sink].is_finite for sink in _sinks(index, number, prompt))


def _sinks(index: int, number: int, prompt: _Prompt) -> list[tuple[int, ...]]:
    """Where the readings of a response and of the follow-ups behind it are."""
    _, tails = prompt.tails[number] or (0, [])
    return [(index, number), *((index, number, k) for k in range(len(tails)))]


def _follow_ups(
    index: int, number: int, prompt: _Prompt, readings: Readings, need: PassRequest
) -> list[dict[str, Any]]:
    """One entry a follow-up; none where they did not fit."""
    if prompt.tails[number] is None:
        return []
    scores = [readings[index, number, k].logprobs for k in range(len(need.follow_ups))]
    return [
        {"utterance": utterance_id(text), "logprob": float(one.sum()), "tokens": len(one)}
        for text, one in zip(need.follow_ups, scores, strict=True)
    ]


def _grams(index: int, prompt: _Prompt, readings: Readings) -> dict[int, list[dict[str, Any]]]:
    """Per response, its inner products with each of the prompt: of the summed and of the last hidden states."""
    there = [
        number
        for number, text in enumerate(prompt.texts)
        if text is not None and _all_finite(index, number, prompt, readings)
    ]
    if not there:
        return {}
    sums = np.stack([_some(readings[index, number].hidden_sum) for number in there])
    lasts = np.stack([_some(readings[index, number].last_hidden) for number in there])
    dots, ends = sums @ sums.T, lasts @ lasts.T
    return {
        number: [
            {"other": prompt.response_ids[other], "sums": float(dots[i, j]), "last": float(ends[i, j])}
            for j, other in enumerate(there)
        ]
        for i, number in enumerate(there)
    }


def _some(value: np.ndarray | None) -> np.ndarray:
    assert value is not None, "hidden states were asked for"
    return value
