"""A trained reward model as a judge: a sequence classifier with one output over the whole conversation."""

import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import polars as pl
from pydantic import Field

from pairwright.judges.base import SAMPLE, Batch, Judge
from pairwright.models.estimate import Estimate
from pairwright.models.local.engine import windows
from pairwright.models.local.loading import (
    device_of,
    is_small,
    limit_of,
    load_config,
    load_tokenizer,
    options,
    told_in_one_line,
    usual_batch,
)
from pairwright.models.local.rendering import RefusalError, Renderer, Text
from pairwright.models.local.turns import CALLS, Turns
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.models import ModelSource


class RewardModel(Judge):
    """The classifier's output for prompt and response, whose text is read exactly as it is emitted."""

    kind: Literal["reward-model"] = "reward-model"
    loads_model: ClassVar[bool] = True
    model: ModelSource
    """A sequence classifier with one label."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of weights and activations."""
    max_tokens: Annotated[int, Field(ge=16)] | None = None
    """Longest conversation; by default what the model was made for."""
    batch_tokens: Annotated[int | None, Field(ge=16), Runtime] = None
    """Tokens of one batch, padding included; by default 4,096, and 1,024 on a CPU, whose caches hold no more."""

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """One row a response, some prompts at a time; one that cannot be read gets the reason instead."""
        network, renderer = _load(self.model, self.dtype, self.max_tokens, self.fingerprint)
        budget = self.batch_tokens or usual_batch(network.device)
        for prompts, responses in windows(work.prompts, work.responses):
            rows = [row for key, turns in prompts for row in _whole(renderer, key, turns, responses[key])]
            scores = iter(_scores(network, [row.ids for row in rows if row.ids], budget))
            yield pl.DataFrame(
                [(row.prompt_id, row.response_id, next(scores) if row.ids else None, row.failure) for row in rows],
                schema={"prompt_id": pl.String, "response_id": pl.String, "score": pl.Float64, "failure": pl.String},
                orient="row",
            ).with_columns(criterion=pl.lit("reward-model"), retry=pl.lit(False))

    def estimate(self, work: Batch) -> Estimate:
        """Passes and their tokens, by a sample that is tokenised; the time where the model is small enough to try."""
        few = work.responses.head(SAMPLE)
        prompts = work.prompts.join(few, on="prompt_id", how="semi", maintain_order="left")
        renderer = _renderer(self.model, self.max_tokens, load_tokenizer(self.model), load_config(self.model))
        tokens = sum(
            len(row.ids or [])
            for some, responses in windows(prompts, few)
            for key, turns in some
            for row in _whole(renderer, key, turns, responses[key])
        )
        count = work.responses.height
        seconds = super().estimate(work).seconds if is_small(self.model) else 0.0
        return Estimate(
            verdicts=count, passes=count, prompt_tokens=tokens * count // max(few.height, 1), seconds=seconds
        )


class _Whole(NamedTuple):
    """A conversation with its response and the end of the turn as token ids, or why there are none."""

    prompt_id: str
    response_id: str
    ids: list[int] | None
    failure: str | None


def _whole(
    renderer: Renderer, prompt_id: str, turns: Turns, responses: list[tuple[str, str | None]]
) -> Iterator[_Whole]:
    """Each response of a prompt, rendered."""
    failure = f"the response does not fit in the model's {renderer.limit} tokens"
    readable = {response_id: text for response_id, text in responses if text is not None}
    texts: dict[str, Text | None] = {}
    try:
        texts = dict(zip(readable, renderer.texts_of(turns, list(readable.values())), strict=True))
    except RefusalError as refusal:
        failure = str(refusal)
    for response_id, answer in responses:
        text = texts.get(response_id)
        if text is None:
            yield _Whole(prompt_id, response_id, None, failure if answer is not None else CALLS)
        else:
            ids = [*text.ids[:-1], *(renderer.closing or text.ids[-1:])]
            yield _Whole(prompt_id, response_id, ids, None)


def _scores(network: Any, texts: Sequence[list[int]], budget: int) -> list[float]:
    """The model's output for each text, batched by length."""
    import torch

    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    scores = [0.0] * len(texts)
    while order:
        width = len(texts[order[0]])
        size = max(1, budget // width)
        some, order = order[:size], order[size:]
        pad = _padding(network, {texts[i][-1] for i in some})
        ids = torch.tensor([texts[i] + [pad] * (width - len(texts[i])) for i in some], device=network.device)
        real = torch.tensor([[1] * len(texts[i]) + [0] * (width - len(texts[i])) for i in some], device=network.device)
        try:
            with torch.inference_mode():
                logits = network(input_ids=ids, attention_mask=real).logits
        except torch.OutOfMemoryError:
            raise JudgeError(
                f"no memory for a batch of {size * width} tokens; lower batch_tokens of the judge"
            ) from None
        for i, score in zip(some, logits[:, 0].double().cpu().tolist(), strict=True):
            scores[i] = score
    return scores


def _padding(network: Any, last: set[int]) -> int:
    """A padding token that ends no text: decoders read their score at the last token that is not padding."""
    config = network.config
    if config.pad_token_id is None or config.pad_token_id in last:
        config.pad_token_id = next(number for number in range(len(last) + 1) if number not in last)
    return int(config.pad_token_id)


@functools.lru_cache(maxsize=1)
def _load(model: ModelSource, dtype: str, max_tokens: int | None, content: str) -> tuple[Any, Renderer]:
    """The model, kept for the next batch, and what renders for it. Raises JudgeError in one line.

    `content` names the model's content, so that a folder with new weights is loaded anew.
    """
    renderer = _renderer(model, max_tokens, load_tokenizer(model), load_config(model))
    import torch
    from transformers import AutoModelForSequenceClassification

    with told_in_one_line(model):
        network, report = AutoModelForSequenceClassification.from_pretrained(
            model.where,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options(model),
        )
        if report["missing_keys"]:
            raise JudgeError(f"model {model.where!r} is no reward model: it lacks {sorted(report['missing_keys'])[0]}")
        network = network.to(device_of(model)).eval()
    if network.config.num_labels != 1:
        raise JudgeError(f"model {model.where!r} has {network.config.num_labels} labels; a reward model has 1")
    return network, renderer


def _renderer(model: ModelSource, max_tokens: int | None, tokenizer: Any, config: Any) -> Renderer:
    """What renders for the model: the closing of its template comes after the response, so room is left for it."""
    if not tokenizer.chat_template:
        raise JudgeError(f"reward model {model.where!r} has no chat template, so its input format is unknown")
    limit = limit_of(model, max_tokens, config)
    closing = len(Renderer(tokenizer, limit, model.id).closing)
    return Renderer(tokenizer, limit - max(0, closing - 1), f"model {model.id!r}")
