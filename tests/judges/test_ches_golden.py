"""CHES: the published golden values, and the ways in which it goes wrong elsewhere."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from pairwright.assets.pairing.filters.ches import Ches
from pairwright.models.local.local import Local
from pairwright.models.local.packing import Branch

STATES = [[5, 5], [1, 0], [2, 1], [0, 3], [9, 9], [1, 1], [7, 7]]
"""Of the golden example: two prompt tokens, then chosen 2, 3 and its end 4, rejected 5 and its end 6."""
CHOSEN = Branch([0, 1, 2, 3, 4], 2, (0, 0), hidden=True)
REJECTED = Branch([0, 1, 5, 6], 2, (0, 1), hidden=True)


class Lookup(torch.nn.Module):
    """A network whose state at a token is that token's row of STATES, whatever came before."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(2, len(STATES), bias=False)
        text = SimpleNamespace(max_position_embeddings=64)
        self.config = SimpleNamespace(get_text_config=lambda: text)
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.head

    def forward(self, input_ids: torch.Tensor, **rest: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(torch.tensor(STATES, dtype=torch.float32)[input_ids]))


def values(groups: list[list[Branch]], measure: str, *, sharing: bool) -> float:
    """The filter's value of the golden pair, by way of the engine and the stored inner products."""
    model = Local(Lookup(), None, 64, 4096)
    model.sharing = sharing
    found = model.read(groups)
    sums = {side: found[sink].hidden_sum for side, sink in (("c", (0, 0)), ("r", (0, 1)))}
    lasts = {side: found[sink].last_hidden for side, sink in (("c", (0, 0)), ("r", (0, 1)))}
    row = {
        side: {
            "tokens": len(branch.ids) - branch.start - 1,
            "gram": [
                {"other": o, "sums": float(sums[side] @ sums[o]), "last": float(lasts[side] @ lasts[o])} for o in "cr"
            ],
            "token_ids": branch.ids[branch.start : -1],
        }
        for side, branch in (("c", CHOSEN), ("r", REJECTED))
    }
    pairs = pl.DataFrame(
        {"chosen_id": ["c"], "rejected_id": ["r"], "likelihood_chosen": [row["c"]], "likelihood_rejected": [row["r"]]}
    )
    return float(Ches(model="m", measure=measure).value(pairs)[0])  # type: ignore[arg-type]


GOLDEN = {"ches": -15.0, "ln-ches": 10 / 6 - 25 / 9, "last-hidden": 3.0, "edit-distance": -1.0}


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("measure", GOLDEN)
def test_golden_values(measure: str, sharing: bool):
    assert values([[CHOSEN, REJECTED]], measure, sharing=sharing) == pytest.approx(GOLDEN[measure], abs=1e-6)
    assert round(GOLDEN["ln-ches"], 6) == -1.111111


def test_padding_is_no_state_of_a_response():
    longer = Branch([0, 1] + [3] * 40 + [4], 2, (1, 0), hidden=True)
    beside = [[CHOSEN], [REJECTED], [longer]]
    assert values(beside, "ches", sharing=False) == pytest.approx(-15.0)
    wrong = np.array([3, 4]) @ np.array([[1, 0], [1, 1], [7, 7]]).sum(0) - 25
    assert wrong == 34, "what comes of taking right padding for left: the padding goes, and the end token counts"


def test_the_state_at_the_end_token_is_not_summed():
    kept = np.array([[1, 0], [2, 1], [0, 3], [9, 9]]).sum(0), np.array([[1, 0], [1, 1], [7, 7]]).sum(0)
    assert kept[0] @ kept[1] - kept[0] @ kept[0] == -101, "what comes of keeping it"
    assert values([[CHOSEN, REJECTED]], "ches", sharing=True) == pytest.approx(-15.0)


def test_a_side_that_was_not_read_has_no_value():
    nothing = {"tokens": None, "gram": None, "token_ids": None}
    kind = pl.Struct(
        {
            "tokens": pl.UInt32,
            "gram": pl.List(pl.Struct({"other": pl.String, "sums": pl.Float64, "last": pl.Float64})),
            "token_ids": pl.List(pl.UInt32),
        }
    )
    pairs = pl.DataFrame(
        {"chosen_id": ["c"], "rejected_id": ["r"], "likelihood_chosen": [nothing], "likelihood_rejected": [nothing]},
        schema_overrides={"likelihood_chosen": kind, "likelihood_rejected": kind},
    )
    for measure in GOLDEN:
        assert Ches(model="m", measure=measure).value(pairs)[0] is None  # type: ignore[arg-type]
