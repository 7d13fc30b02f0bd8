"""The likelihood engine where something is odd: a branch that goes on early, a number that is none, a refused prompt."""

from itertools import pairwise

import numpy as np
from models import backend

from pairwright.judges.likelihood.local import Local
from pairwright.judges.likelihood.packing import Branch


def numbers(count: int, seed: int = 3) -> list[int]:
    """Token ids that are as good as any."""
    return [(7 * i * i + 11 * i + seed) % 1000 for i in range(count)]


def apart() -> Local:
    """The tiny model, reading every text by itself."""
    model = backend()
    alone = Local(model.network, model.tokenizer, model.limit)
    alone.sharing = False
    return alone


def test_what_goes_on_before_the_shared_part_ends_sees_no_more_than_it_should():
    prompt, remark = numbers(300), numbers(4, 8)
    group = [
        Branch([*prompt, *numbers(60, k)], 300, (k,), keep=297, branches=(Branch(remark, 2, (k, 0)),)) for k in range(6)
    ]
    shared, alone = backend().read([group]), apart().read([group])
    for sink in alone:
        np.testing.assert_allclose(shared[sink].logprobs.sum(), alone[sink].logprobs.sum(), rtol=1e-4)
    remarks = [shared[k, 0].logprobs.sum() for k in range(6)]
    assert all(abs(a - b) < 1e-4 for a, b in pairwise(remarks)), "it follows the same 297 tokens"
