"""Keys and values that a model has stored of tokens already read, for rows that go on from them."""

from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from pairwright.models.local.forward import Prefix


class StoredError(Exception):
    """Every layer has stored the keys and values of a prefix: the rest of the model's work on it is not wanted."""


class _Layer(DynamicLayer):
    """One layer: what is stored before a batch, seen by each of its rows, and what the batch adds if that is kept.

    What is not kept is gone before the next layer, so that a batch holds one layer's copies of its prefix, not all.
    """

    def __init__(self, before: tuple[torch.Tensor, torch.Tensor] | None = None, *, keep: bool = True) -> None:
        super().__init__()
        self.keep = keep
        if before:
            self._store(*before)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.is_initialized:
            keys, values = self.stored()
            key_states, value_states = _behind(keys, key_states), _behind(values, value_states)
        if self.keep:
            self._store(_own(key_states), _own(value_states))
        return key_states, value_states

    def stored(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values, each (rows, heads, tokens, size of a head)."""
        assert self.keys is not None, "something is stored"
        assert self.values is not None, "something is stored"
        return self.keys, self.values

    def _store(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values


def _own(states: torch.Tensor) -> torch.Tensor:
    """A view into a larger tensor would keep all of that: queries, keys and values may come from one projection."""
    return states if states.untyped_storage().nbytes() == states.nbytes else states.clone()


def _behind(before: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    return torch.cat((before.expand(len(added), -1, -1, -1), added), dim=2)


class Stored(Cache):
    """What a batch is read behind: a prefix or nothing. It keeps what the batch adds only if something goes on from it.

    With `last`, the number of a layer, the forward pass ends with StoredError once that layer has stored its own.
    """

    def __init__(self, prefix: Prefix | None, *, keep: bool, last: int | None = None) -> None:
        if prefix:
            super().__init__(layers=[_Layer(before, keep=keep) for before in prefix])
        else:
            super().__init__(layer_class_to_replicate=_Layer)
        self.last = last

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if layer_idx == self.last:
            raise StoredError
        return found

    def prefix(self, row: int, at: np.ndarray) -> Prefix:
        """Keys and values of a row's tokens at the given places."""
        layers = [layer.stored() for layer in self.layers if isinstance(layer, _Layer)]
        one = slice(row, row + 1)
        if len(at) and len(at) == at[-1] + 1:  # one stretch from the beginning needs no copy
            return [(keys[one, :, : len(at)], values[one, :, : len(at)]) for keys, values in layers]
        index = torch.as_tensor(at, device=layers[0][0].device)
        return [(keys[one].index_select(2, index), values[one].index_select(2, index)) for keys, values in layers]
