"""Writing with a transformers model in this process: many samples at a time, each from a stream of draws of its own.

A sample's draws depend on its seed alone, by one uniform number a token (inverse of the cumulative distribution), so
neither the batch that it is in nor what else is asked for steers it; in low bits, logits may move with a batch's
padding. Prompts are read once for all their samples, and rows that have ended leave the batch.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pairwright.models.local.loading import limit_of, load_causal
from pairwright.models.local.rendering import Messages, RefusalError, Renderer, Tools
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.models import CausalModel

ROWS = {"cpu": 32}
"""Samples written at a time, by device."""
ROWS_ELSEWHERE = 128
LOOK_BACK = 8
"""Tokens beyond a stop text's own length in characters that are looked at for it."""


class Draft(NamedTuple):
    """A sample to write."""

    key: Any
    """What the caller knows it by."""
    messages: Messages
    seed: int
    """Of its stream of draws."""
    tools: Tools = None


class Written(NamedTuple):
    """A sample, or why there is none."""

    key: Any
    text: str = ""
    finish_reason: str = "stop"
    """stop, or length where max_tokens or the model's limit was reached."""
    logprob: float | None = None
    """Natural log-probability of its tokens, the end of the turn included, at temperature 1."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failure: str | None = None


class Drawing(NamedTuple):
    """How tokens are drawn."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()


class _Row(NamedTuple):
    """A sample's prompt as token ids."""

    draft: Draft
    ids: tuple[int, ...]


class _Sample:
    """A sample that is being written."""

    def __init__(self, row: _Row, room: int) -> None:
        self.row, self.room = row, room
        self.draws = np.random.Generator(np.random.Philox(key=row.draft.seed)).random(room, dtype=np.float64)
        self.ids: list[int] = []
        self.logprob = 0.0
        self.text: str | None = None
        self.finish_reason = "length"


class Writer:
    """A model in memory that writes. `rows` is how many samples at a time."""

    def __init__(self, network: Any, tokenizer: Any, limit: int, label: str, rows: int | None = None) -> None:
        self.network, self.tokenizer, self.limit, self.label = network, tokenizer, limit, label
        self.renderer = Renderer(tokenizer, limit, label)
        self.rows = rows or ROWS.get(network.device.type, ROWS_ELSEWHERE)
        self.ends = _end_tokens(network, tokenizer, self.renderer)

    @classmethod
    def load(cls, model: CausalModel, rows: int | None = None) -> "Writer":
        """Load a model. Raises JudgeError in one line naming it when that fails."""
        network, tokenizer = load_causal(model)
        return cls(network, tokenizer, limit_of(model, model.max_tokens, network.config), model.id, rows)

    def write(self, drafts: Sequence[Draft], how: Drawing) -> Iterator[list[Written]]:
        """All drafts, batch by batch, shortest prompts first. Raises JudgeError where one sample alone has no room."""
        rows, failed = list[_Row](), list[Written]()
        for draft in drafts:
            row = self._row(draft)
            if isinstance(row, _Row):
                rows.append(row)
            else:
                failed.append(row)
        if failed:
            yield failed
        rows.sort(key=lambda row: (len(row.ids), row.ids))
        at = 0
        while at < len(rows):
            some = rows[at : at + self.rows]
            made = self._whole_batch(some, how)
            if made is not None:
                at += len(some)
                yield made

    def _row(self, draft: Draft) -> _Row | Written:
        try:
            prompt = self.renderer.prompt(draft.messages, draft.tools)
        except RefusalError as refusal:
            return Written(draft.key, failure=str(refusal))
        ids = tuple(self.tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"])
        if len(ids) >= self.limit:
            return Written(draft.key, failure=f"the prompt's {len(ids)} tokens leave no room in {self.limit}")
        return _Row(draft, ids)

    def _whole_batch(self, rows: list[_Row], how: Drawing) -> list[Written] | None:
        """A batch; None, with half as many rows from now on, where memory does not hold it."""
        import torch

        try:
            with torch.inference_mode():
                return self._batch(rows, how)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise JudgeError(
                    f"model {self.label!r}: no memory for one sample of {how.max_tokens} tokens; lower max_tokens"
                ) from None
        torch.cuda.empty_cache()
        self.rows = max(1, len(rows) // 2)
        return None

    def _batch(self, rows: list[_Row], how: Drawing) -> list[Written]:
        import torch
        from transformers import DynamicCache

        device = self.network.device
        prompts = list(dict.fromkeys(row.ids for row in rows))
        width = max(map(len, prompts))
        ids = torch.zeros(len(prompts), width, dtype=torch.long, device=device)
        mask = torch.zeros_like(ids)
        for number, prompt in enumerate(prompts):
            ids[number, width - len(prompt) :] = torch.tensor(prompt, device=device)
            mask[number, width - len(prompt) :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self.network.config)
        answer = self.network(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
        )
        place = {prompt: number for number, prompt in enumerate(prompts)}
        samples = [_Sample(row, min(how.max_tokens, self.limit - len(row.ids))) for row in rows]
        live = samples
        kept = torch.tensor([place[row.ids] for row in rows], device=device)
        logits = answer.logits[:, -1].index_select(0, kept)
        if len(kept) != len(prompts):  # else they are in their order, each once
            cache.batch_select_indices(kept)
        mask, position = mask.index_select(0, kept), positions[:, -1:].index_select(0, kept)
        while True:
            tokens = self._draw(logits, live, how)
            open_still = [number for number, one in enumerate(live) if not self._has_ended(one, how)]
            if not open_still:
                return [self._written(one) for one in samples]
            if len(open_still) < len(live):
                kept = torch.tensor(open_still, device=device)
                cache.batch_select_indices(kept)
                mask, position, tokens = (one.index_select(0, kept) for one in (mask, position, tokens))
                live = [live[number] for number in open_still]
            mask = torch.cat((mask, torch.ones_like(mask[:, :1])), dim=1)
            position = position + 1
            answer = self.network(
                input_ids=tokens[:, None], attention_mask=mask, position_ids=position, past_key_values=cache
            )
            logits = answer.logits[:, -1]

    def _draw(self, logits: Any, live: list[_Sample], how: Drawing) -> Any:
        """The next token of each live sample, noted with its log-probability."""
        import torch

        logprobs = torch.log_softmax(logits.float(), dim=-1)
        if how.temperature == 0:
            tokens = logprobs.argmax(dim=-1)
        else:
            uniform = torch.tensor(
                [one.draws[len(one.ids)] for one in live], dtype=torch.float32, device=logprobs.device
            )
            tokens = _drawn(logprobs, uniform, how.temperature, how.top_p)
        told = logprobs.gather(1, tokens[:, None])[:, 0].double().tolist()
        for one, token, logprob in zip(live, tokens.tolist(), told, strict=True):
            one.ids.append(token)
            one.logprob += logprob
        return tokens

    def _has_ended(self, one: _Sample, how: Drawing) -> bool:
        """Whether a sample came to its end with the token just drawn."""
        if one.ids[-1] in self.ends:
            one.finish_reason = "stop"
            return True
        if how.stop:
            tail = one.ids[-(max(map(len, how.stop)) + LOOK_BACK) :]
            if any(stop in self._text(tail) for stop in how.stop):
                whole = self._text(one.ids)
                found = [at for stop in how.stop if (at := whole.find(stop)) >= 0]
                if found:
                    one.text, one.finish_reason = whole[: min(found)], "stop"
                    return True
        return len(one.ids) >= one.room

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _written(self, one: _Sample) -> Written:
        text = self._text(one.ids) if one.text is None else one.text
        prompt, made = len(one.row.ids), len(one.ids)
        return Written(one.row.draft.key, text, one.finish_reason, one.logprob, prompt, made)


def _drawn(logprobs: Any, uniform: Any, temperature: float, top_p: float) -> Any:
    """A token a row: where the cumulative distribution at that temperature passes the row's uniform number.

    Of a nucleus (top_p below 1) only the likeliest tokens that come to top_p together are drawn from.
    """
    import torch

    chances = torch.softmax(logprobs / temperature, dim=-1)
    if top_p == 1:
        sums = chances.cumsum(dim=-1)
        at = torch.searchsorted(sums, uniform[:, None] * sums[:, -1:], right=True)
        return at.clamp(max=chances.shape[1] - 1)[:, 0]
    sorted_chances, order = chances.sort(dim=-1, descending=True, stable=True)
    sums = sorted_chances.cumsum(dim=-1)
    inside = (sums - sorted_chances < top_p).sum(dim=-1, keepdim=True)  # the first is always inside
    mass = sums.gather(1, inside - 1)
    at = torch.searchsorted(sums, uniform[:, None] * mass, right=True)
    return order.gather(1, torch.minimum(at, inside - 1))[:, 0]


def _end_tokens(network: Any, tokenizer: Any, renderer: Renderer) -> set[int]:
    """Every token that ends a turn: the template's, the tokenizer's and those of the model's generation settings."""
    told = getattr(getattr(network, "generation_config", None), "eos_token_id", None)
    listed = told if isinstance(told, list) else [told]
    return {int(one) for one in [*listed, tokenizer.eos_token_id, renderer.end] if one is not None}
