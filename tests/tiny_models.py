"""What the tests of model judges share: the tiny models, work for them, and a slow oracle to compare with."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pairwright.judges.base import Batch
from pairwright.models.local.engine import read
from pairwright.models.local.local import Local
from pairwright.models.local.request import PassRequest
from pairwright.schemas.ids import prompt_id, response_id
from pairwright.schemas.models import CausalModel
from pairwright.schemas.tables import MESSAGES

TINY = Path(__file__).parents[1] / "pipelines" / "tiny"


def tiny(name: str = "strong", **options: Any) -> CausalModel:
    """One of the tiny models, on the processor."""
    return CausalModel(id=str(TINY / name), device="cpu", **options)


@functools.cache
def backend(name: str = "strong") -> Local:
    """A tiny model in memory."""
    return Local.load(tiny(name))


def work(prompts: dict[str, list[str]] | list[tuple[Any, list[str]]]) -> Batch:
    """Prompts (texts or messages) with their responses."""
    rows, responses = [], []
    for prompt, texts in prompts.items() if isinstance(prompts, dict) else prompts:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        key = prompt_id(messages)
        rows.append({"prompt_id": key, "messages": messages, "references": [], "domain": None})
        responses += [(key, response_id(key, text), text) for text in dict.fromkeys(texts)]
    kinds = {"prompt_id": pl.String, "messages": MESSAGES, "references": pl.List(pl.String), "domain": pl.String}
    frame = pl.DataFrame(responses, schema=["prompt_id", "response_id", "text"], orient="row")
    return Batch(pl.DataFrame(rows, schema=kinds).sort("prompt_id"), frame.sort("prompt_id", "response_id"))


def read_all(batch: Batch, need: PassRequest, name: str = "strong") -> pl.DataFrame:
    """Rows of the likelihoods table."""
    return pl.concat(read(batch, need, backend(name)))


def answered(batch: Batch, judge: Any) -> pl.DataFrame:
    """A judge's rows, its needs read by the tiny models that they name."""
    tables: dict[str, pl.DataFrame] = {}
    for need in judge.needs():
        tables[need.key] = read_all(batch, need, Path(need.model.id).name)
    frames = [frame for frame in judge.judge(batch._replace(likelihoods=tables)) if frame.height]
    return pl.concat(frames, how="diagonal_relaxed")


@functools.cache
def _exact(name: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(TINY / name, dtype=torch.float64).eval()


def oracle(ids: list[int], start: int, name: str = "strong") -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities from token `start` on, and the states that predict them: one text, no cache, 64 bits."""
    import torch

    with torch.inference_mode():
        answer = _exact(name)(input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False)
        scores = torch.log_softmax(answer.logits[0].double(), dim=-1)
    logprobs = np.array([scores[i - 1, ids[i]].item() for i in range(start, len(ids))])
    states = answer.hidden_states[-1][0, start - 1 : len(ids) - 1].double().numpy()
    return logprobs, states


def oracle_text(prompt: str, response: str, name: str = "strong", limit: int = 512) -> tuple[list[int], int]:
    """Ids with the end token, and the first token of the response, of a rendered prompt; cut on the left to `limit`."""
    tokenizer = backend(name).tokenizer
    encoded = tokenizer(prompt + response, add_special_tokens=False, return_offsets_mapping=True)
    before = sum(end <= len(prompt) for _, end in encoded["offset_mapping"])
    ids = [*encoded["input_ids"], tokenizer.eos_token_id]
    cut = max(0, len(ids) - limit)
    return ids[cut:], before - cut


def rendered(prompt: str) -> str:
    """A one-turn prompt in the tiny models' template, written out by hand."""
    return f"<|user|>\n{prompt}<|end|>\n<|assistant|>\n"
