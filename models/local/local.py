"""Reads with a transformers model in this process: one forward pass over packed rows, reduced to what was asked.

The states that enter the output layer are caught by a hook, which lets only the needed positions through: the model
itself applies its output layer (and any scaling of its own) to no others. Log-softmax is in 32 bits, sums in 64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pairwright.models.local.backend import Reading, Readings
from pairwright.models.local.forward import Prefix, inputs, logprobs, output_sees, reduce
from pairwright.models.local.loading import limit_of, load_causal, usual_batch
from pairwright.models.local.packing import Branch, Row, batches, flat, pack, packed_row, shared_length, sinks
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.models import CausalModel

LOGITS = 1 << 28
"""Greatest number of logits held at a time: 1 GiB in 32 bits."""


class Local:
    """A model in memory. `sharing` says whether it was seen to read shared prefixes as it reads whole texts."""

    def __init__(self, network: Any, tokenizer: Any, limit: int, batch_tokens: int | None = None) -> None:
        self.network, self.tokenizer, self.limit = network, tokenizer, limit
        self.vocabulary = int(network.get_output_embeddings().weight.shape[0])
        self.budget = max(1, min(batch_tokens or usual_batch(network.device), LOGITS // self.vocabulary))
        self.turn = _turn(network.config)
        self.sharing = True
        self.sharing = _all_full_attention(network.config) and self._shares_faithfully()

    @classmethod
    def load(cls, model: CausalModel) -> "Local":
        """Load a model. Raises JudgeError in one line naming it when that fails."""
        network, tokenizer = load_causal(model)
        made = cls(network, tokenizer, limit_of(model, model.max_tokens, network.config), model.batch_tokens)
        if not made._is_causal():
            raise JudgeError(
                f"model {model.id!r} ({type(network).__name__}) sees the tokens that it is to predict, as encoders do; "
                "name a causal language model"
            )
        return made

    def read(self, groups: Sequence[Sequence[Branch]]) -> Readings:
        """Readings of all branches, by their sinks; no numbers for a text with a token that the model has not."""
        import torch

        out: Readings = {
            one.sink: Reading(np.full(len(one.ids) - one.start, np.nan))
            for group in groups
            for one in group
            if max(one.ids) >= self.vocabulary
        }
        groups = [[one for one in group if one.sink not in out] for group in groups]
        try:
            with torch.inference_mode():
                for some in self._alike(groups):
                    self._read_all(some, out, sharing=self.sharing)
                if self.sharing and not all(np.isfinite(reading.logprobs.sum()) for reading in out.values()):
                    # a number that is none spreads to whatever was packed beside it
                    broken = [group for group in groups if not all(out[sink].is_finite for sink in sinks(group))]
                    for some in self._alike(broken):
                        self._read_all(some, out, sharing=False)
        except torch.OutOfMemoryError:
            raise JudgeError(
                f"no memory for a batch of {self.budget} tokens; lower batch_tokens of the model"
            ) from None
        return out

    def _alike(self, groups: Sequence[Sequence[Branch]]) -> list[Sequence[Sequence[Branch]]]:
        """Groups that may be read beside each other: all, but where long texts turn all positions of their batch."""
        if self.turn is None:
            return [groups]
        fits = [all(len(one.ids) <= self.turn for one in flat(group)) for group in groups]
        short = [group for group, all_short in zip(groups, fits, strict=True) if all_short]
        apart = [[one] for group, all_short in zip(groups, fits, strict=True) if not all_short for one in flat(group)]
        return [short, *([one for one in apart if (len(one[0].ids) - 1 > self.turn) == long] for long in (False, True))]

    def _read_all(self, groups: Sequence[Sequence[Branch]], out: Readings, *, sharing: bool) -> None:
        """Put the readings of all branches into `out`."""
        laid = groups if sharing else [flat(group) for group in groups]
        rows = [row for group in laid if group for row in pack(group, 0, sharing=sharing)]
        self._read(rows, None, out)

    def _read(self, rows: list[Row], prefix: Prefix | None, out: Readings) -> None:
        stored = _length(prefix)
        for batch in batches(rows, self.budget, stored):
            cache = self._forward(batch, prefix, out)
            for number, row in enumerate(batch):
                for branch, path in row.members:
                    if branch.branches:
                        behind = np.concatenate((np.arange(stored), stored + path[: branch.keep]))
                        rest = pack(branch.branches, len(behind), sharing=True)
                        self._read(rest, cache.prefix(number, behind), out)

    def _forward(self, batch: list[Row], prefix: Prefix | None, out: Readings) -> Any:
        """Read a batch, put its members' readings into `out`, and return the cache if something goes on from it."""
        import torch

        from pairwright.models.local.kv_cache import Stored, StoredError

        device = self.network.device
        ids, positions, mask = inputs(batch, _length(prefix), self.network.dtype, device)
        goes_on = any(branch.branches for row in batch for branch, _ in row.members)
        scored = any(len(branch.ids) > branch.start for row in batch for branch, _ in row.members)
        last = None if scored else self.network.config.get_text_config().num_hidden_layers - 1
        cache = Stored(prefix, keep=goes_on, last=last) if prefix or goes_on else None
        members = [(number, *member) for number, row in enumerate(batch) for member in row.members]
        spans = [len(branch.ids) - branch.start for _, branch, _ in members]
        at = np.concatenate([path[branch.start - 1 :] for _, branch, path in members])
        rows = np.repeat([number for number, _, _ in members], spans)
        if not len(at):  # a prefix: the model is run for its cache
            at, rows = np.zeros(1, int), np.zeros(1, int)
        caught: list[Any] = []
        most = max(1, LOGITS // self.vocabulary)

        def pick(states: Any) -> Any:
            caught.append(states[torch.as_tensor(rows, device=device), torch.as_tensor(at, device=device)])
            return caught[0][:most]

        try:
            with output_sees(self.network, pick):
                answer = self.network(
                    input_ids=ids,
                    position_ids=positions,
                    attention_mask=mask,
                    past_key_values=cache,
                    use_cache=cache is not None,
                )
        except StoredError:
            return cache
        if sum(spans):
            targets = [token for _, branch, _ in members for token in branch.ids[branch.start :]]
            parts = [logprobs(answer, targets[:most])]
            for begin in range(most, len(targets), most):
                del answer
                answer = self._output(caught[0][begin : begin + most], ids[:1, :1])
                parts.append(logprobs(answer, targets[begin : begin + most]))
            reduce([branch for _, branch, _ in members], spans, np.concatenate(parts), caught[0], out)
        return cache

    def _output(self, states: Any, token: Any) -> Any:
        """What the model makes of states caught before: it reads one token, and its output layer sees them instead."""
        with output_sees(self.network, lambda own: states):
            return self.network(input_ids=token, use_cache=False)

    def _is_causal(self) -> bool:
        """Whether what comes later leaves a token's log-probability as it is: tried on two texts made of numbers."""
        ids = [(5 * i * i + 7 * i + 1) % self.vocabulary for i in range(24)]
        one, other = Branch(ids, 1, (0,)), Branch([*ids[:16], *ids[:8]], 1, (1,))
        found = self.read([[one], [other]])
        return bool(np.allclose(found[0,].logprobs[:15], found[1,].logprobs[:15], atol=self._rounding))

    @property
    def _rounding(self) -> float:
        """By how many nats a token's log-probability may move with the batch it is in."""
        import torch

        return 1e-3 if self.network.dtype == torch.float32 else 0.2

    def _shares_faithfully(self) -> bool:
        """Whether packed rows and stored prefixes give what whole texts give: tried on a text made of numbers."""
        import torch

        ids = [(7 * i * i + 11 * i + 3) % self.vocabulary for i in range(48)]
        tails = tuple(Branch(ids[i : i + 6], 2, (0, i), 0) for i in (5, 11))
        trunk = Branch(ids[:20] + ids[40:44], 18, (0,), 19, tails)
        twin = Branch(ids[:20] + ids[30:40], 18, (1,))
        together = [trunk, twin]
        quick: Readings = {}
        try:
            with torch.inference_mode():
                self._read([packed_row(together, shared_length(together), 0)], None, quick)
        except Exception:  # a model that takes no mask or no cache of this kind raises whatever it likes
            return False
        self.sharing = False
        slow = self.read([together])
        return all(np.allclose(quick[sink].logprobs, slow[sink].logprobs, atol=self._rounding) for sink in slow)


def _all_full_attention(config: Any) -> bool:
    """Whether every layer sees all that came before; a window would need a mask of its own."""
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    return kinds == {"full_attention"} and not getattr(text, "sliding_window", None)


def _turn(config: Any) -> int | None:
    """Tokens beyond which a text is read with other positions than a shorter one, for models that do that (LongRoPE).

    Such models go by the longest text of a batch, so the others in it would be read otherwise than alone.
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") != "longrope":
        return None
    made_for = rope.get("original_max_position_embeddings") or getattr(text, "original_max_position_embeddings", None)
    return None if made_for is None else int(made_for)


def _length(prefix: Prefix | None) -> int:
    return int(prefix[0][0].shape[2]) if prefix else 0
