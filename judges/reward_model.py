"""A trained reward model as a judge: a sequence classifier with one output over the whole conversation."""

import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field

from pairwright.judges.base import Batch, Judge
from pairwright.judges.likelihood.loading import device_of, load_tokenizer, options, told_in_one_line, usual_batch
from pairwright.judges.likelihood.rendering import Renderer
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.models import ModelSource


class RewardModel(Judge):
    """The classifier's output for prompt and response, whose text is read exactly as it is emitted."""

    kind: Literal["reward-model"] = "reward-model"
    model: ModelSource
    """A sequence classifier with one label."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of weights and activations."""
    max_tokens: Annotated[int, Field(ge=16)] | None = None
    """Longest conversation; by default what the model was made for."""
    batch_tokens: Annotated[int | None, Field(ge=16), Runtime] = None
    """Tokens of one batch, padding included; by default 4,096, and 1,024 on a CPU, whose caches hold no more."""

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """One row a response; a response that does not fit gets the reason instead."""
        network, renderer = _load(self.model, self.dtype, self.max_tokens)
        texts = work.responses.group_by("prompt_id", maintain_order=True).agg("response_id", "text")
        messages = work.prompts.select("prompt_id", "messages")
        rows = []
        for prompt_id, ids, responses, turns in texts.join(messages, on="prompt_id", maintain_order="left").iter_rows():
            for response_id, text in zip(ids, renderer.texts(turns, responses), strict=True):
                whole = None if text is None else [*text.ids[:-1], *(renderer.closing or text.ids[-1:])]
                rows.append((prompt_id, response_id, whole))
        fitting = [whole for _, _, whole in rows if whole is not None]
        scores = iter(_scores(network, fitting, self.batch_tokens or usual_batch(network.device)))
        reason = f"the response does not fit in the model's {renderer.limit} tokens"
        yield pl.DataFrame(
            [
                (prompt_id, response_id, None if whole is None else next(scores), reason if whole is None else None)
                for prompt_id, response_id, whole in rows
            ],
            schema={"prompt_id": pl.String, "response_id": pl.String, "score": pl.Float64, "failure": pl.String},
            orient="row",
        ).with_columns(criterion=pl.lit("reward-model"), retry=pl.lit(False))


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
        with torch.inference_mode():
            logits = network(input_ids=ids, attention_mask=real).logits
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
def _load(model: ModelSource, dtype: str, max_tokens: int | None) -> tuple[Any, Renderer]:
    """The model, kept for the next batch, and what renders for it. Raises JudgeError in one line."""
    tokenizer = load_tokenizer(model)
    import torch
    from transformers import AutoModelForSequenceClassification

    if not tokenizer.chat_template:
        raise JudgeError(f"reward model {model.where!r} has no chat template, so its input format is unknown")
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
    limit = max_tokens or getattr(network.config.get_text_config(), "max_position_embeddings", None)
    if not limit:
        raise JudgeError(f"model {model.where!r} does not say how long its texts may be; set max_tokens")
    # the closing of the template comes after the response, so room is left for it
    closing = len(Renderer(tokenizer, limit, model.id).closing)
    return network, Renderer(tokenizer, limit - max(0, closing - 1), f"model {model.id!r}")
