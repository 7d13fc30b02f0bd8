"""A forward pass over packed rows: what goes into the network, what its output layer sees, and what comes out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pairwright.models.local.backend import Reading, Readings
from pairwright.models.local.packing import Branch, Row

Prefix = list[tuple[Any, Any]]
"""Keys and values (tensors) of each layer for tokens already read, with a batch of one."""


def inputs(batch: list[Row], stored: int, dtype: Any, device: Any) -> tuple[Any, Any, Any]:
    """Right-padded ids and positions, and a mask where a row holds several branches.

    Padding comes after everything that is real, so a causal model never sees it.
    """
    import torch

    width = max(len(row.ids) for row in batch)
    ids = np.zeros((len(batch), width), np.int64)
    positions = np.zeros((len(batch), width), np.int64)
    segments = np.full((len(batch), width), -1, np.int64)
    for number, row in enumerate(batch):
        ids[number, : len(row.ids)] = row.ids
        positions[number, : len(row.ids)] = row.positions
        segments[number, : len(row.ids)] = row.segments
    mask = None
    if any(row.is_packed for row in batch):
        one = torch.as_tensor(segments, device=device)
        seen = (one[:, None, :] == 0) | (one[:, None, :] == one[:, :, None])
        seen &= torch.ones(width, width, dtype=torch.bool, device=device).tril()
        mask = torch.zeros(len(batch), 1, width, stored + width, dtype=dtype, device=device)
        mask[:, 0, :, stored:].masked_fill_(~seen, torch.finfo(dtype).min)
    return torch.as_tensor(ids, device=device), torch.as_tensor(positions, device=device), mask


@contextmanager
def output_sees(network: Any, pick: Callable[[Any], Any]) -> Iterator[None]:
    """Give the output layer, for the states that come to it, a row of those that `pick` makes of them."""

    def instead(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (pick(inputs[0])[None], *inputs[1:])

    handle = network.get_output_embeddings().register_forward_pre_hook(instead)
    try:
        yield
    finally:
        handle.remove()


def logprobs(answer: Any, targets: list[int]) -> np.ndarray:
    """Log-probability of each token under the logits of its place."""
    import torch

    logits = answer.logits[0]
    tokens = torch.tensor(targets, device=logits.device)
    scores = torch.nn.functional.cross_entropy(logits.float(), tokens, reduction="none")
    return np.asarray(-scores.cpu().double().numpy())


def reduce(branches: list[Branch], spans: list[int], logprobs: np.ndarray, states: Any, out: Readings) -> None:
    """Cut what the batch gave into a reading for each branch."""
    ends = np.cumsum(spans)
    for branch, span, end in zip(branches, spans, ends, strict=True):
        if not span:
            continue
        part = slice(end - span, end)
        if branch.hidden:
            own = states[part].float().cpu().double()
            out[branch.sink] = Reading(logprobs[part], own.sum(0).numpy(), own[-1].numpy())
        else:
            out[branch.sink] = Reading(logprobs[part])
