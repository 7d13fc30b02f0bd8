"""The likelihood engine where something is odd: early branches, numbers that are none, prompts a template refuses."""

import platform
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from tiny_models import backend, tiny, work

from pairwright.assets.judging import speed
from pairwright.judges import base
from pairwright.judges.base import Batch
from pairwright.judges.policy_likelihood import PolicyLikelihood
from pairwright.models.local import local
from pairwright.models.local import request as need_module
from pairwright.models.local.engine import count_tokens, read
from pairwright.models.local.local import Local
from pairwright.models.local.open_backend import limit_of
from pairwright.models.local.packing import Branch
from pairwright.models.local.rendering import Renderer
from pairwright.models.local.request import PassRequest
from pairwright.schemas.paid_tables import Likelihoods
from pairwright.schemas.tables import check

ALL = PassRequest(tiny(), wants=frozenset({"tokens", "hidden"}), follow_ups=("Thank you.", "That is wrong, you know."))
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role\nnot supported') }}{% endif %}"
    "<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

FAULTS = """
import resource
from pairwright.models.local.loading import prepare
prepare()
import torch
for turn in range(12):
    if turn == 2:
        begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(4 << 20) for _ in range(4)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun)
"""


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


def table(batch: Batch, model: Any, need: PassRequest = ALL) -> pl.DataFrame:
    """What would be stored, by the text of the response; nothing that breaks the table's rules is."""
    rows = pl.concat(read(batch, need, model)).with_columns(evidence=pl.lit(""))
    return check(rows, Likelihoods).join(batch.responses.select("response_id", "text"), on="response_id")


class Overflowing(Local):
    """The tiny model, whose states are no numbers from a certain word on."""

    def __init__(self, word: str) -> None:
        fresh = Local.load(tiny())
        super().__init__(fresh.network, fresh.tokenizer, fresh.limit)
        token = self.tokenizer(word, add_special_tokens=False)["input_ids"][-1]

        def overflow(module: Any, inputs: Any, states: Any) -> Any:
            return states.masked_fill((inputs[0] == token)[..., None], float("nan"))

        self.network.get_input_embeddings().register_forward_hook(overflow)


@pytest.mark.parametrize("prompt", ["Hi", "Explain the tide. " * 20])
def test_a_number_that_is_none_is_a_failure_of_its_own_response_only(prompt: str):
    batch = work({prompt: ["Warm the oven.", "Yes.", "No, not at all."]})
    found = table(batch, Overflowing(" oven"))
    fine, bad = found.filter(pl.col("failure").is_null()), found.filter(pl.col("failure").is_not_null())
    assert bad["text"].to_list() == ["Warm the oven."] and "not a finite number" in bad["failure"][0]
    expected = table(batch, backend()).filter(pl.col("text") != "Warm the oven.")
    assert fine["logprob"].to_list() == pytest.approx(expected["logprob"].to_list(), rel=1e-4)
    assert {entry["other"] for row in fine["gram"] for entry in row} == set(fine["response_id"])


def test_a_follow_up_that_is_no_number_is_a_failure_too():
    found = table(work({"Hi": ["Yes.", "No."]}), Overflowing(" wrong"))
    assert found["failure"].str.contains("not a finite number").all() and found.height == 2


def test_a_prompt_that_the_template_refuses_is_a_failure_and_the_others_are_read():
    model = Local(backend().network, Local.load(tiny()).tokenizer, 512)
    model.tokenizer.chat_template = NO_SYSTEM
    system = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    batch = work([(system, ["a", "b"]), ("Hi", ["c"])])
    found = table(batch, model)
    reason = "the model's chat template refuses turns of system, user: System role not supported"
    assert dict(found.select("text", "failure").iter_rows()) == {"a": reason, "b": reason, "c": None}
    only = work({"Hi": ["c"]})
    assert count_tokens(batch, ALL, model.tokenizer, 512) == count_tokens(only, ALL, model.tokenizer, 512)


def test_a_plan_counts_the_tokens_that_a_build_will_have_read():
    fitting = work({"How can I bake a cake?": ["Warm the oven.", "", "No."], "Hi": ["Hello. " * 20, "no room " * 500]})
    for batch, need in ((fitting, ALL), (work({"Say it. " * 900: ["Now.", "Never. " * 30]}), PassRequest(tiny()))):
        rows = pl.concat(read(batch, need, backend()))
        counted = count_tokens(batch, need, backend().tokenizer, limit_of(need.model))
        assert counted == speed._tokens(rows), "or the stated time is another's"


def test_a_long_response_holds_no_more_logits_than_are_allowed(monkeypatch: pytest.MonkeyPatch):
    model = Local.load(tiny())
    monkeypatch.setattr(local, "LOGITS", 16 * model.vocabulary)
    seen: list[int] = []
    layer = model.network.get_output_embeddings()
    handle = layer.register_forward_hook(lambda module, inputs, logits: seen.append(logits.shape[1]))
    batch = work({"Hi": ["Warm the oven, and then wait. " * 10, "No."]})
    few = table(batch, model)
    assert max(seen) == 16 and len(seen) > 100 / 16
    handle.remove()
    monkeypatch.undo()
    many = table(batch, backend())
    for name in ("logprob", "end_logprob"):
        assert few[name].to_list() == pytest.approx(many[name].to_list(), rel=1e-4)
    assert [row[0]["sums"] for row in few["gram"]] == pytest.approx([row[0]["sums"] for row in many["gram"]], rel=1e-4)


def test_a_prompt_that_is_cut_keeps_its_bos():
    model = Local(backend().network, Local.load(tiny()).tokenizer, 64)
    model.tokenizer.bos_token = "<|system|>"
    model.tokenizer.chat_template = "{{ bos_token }}" + model.tokenizer.chat_template
    bos = model.tokenizer.bos_token_id
    messages = [{"role": "user", "content": "Say so. " * 100}]
    uncut, cut = (Renderer(model.tokenizer, limit, "bos").texts(messages, ["Now."])[0] for limit in (512, 64))
    assert uncut is not None and cut is not None
    assert cut.ids == [bos, *uncut.ids[-63:]] and uncut.ids.count(bos) == 1 and cut.truncated
    assert uncut.ids[uncut.start :] == cut.ids[cut.start :]
    (row,) = table(work({"Say so. " * 100: ["Now."]}), model).iter_rows(named=True)
    scores = apart().read([[Branch(cut.ids, cut.start, (0,))]])[0,].logprobs
    assert row["logprob"] == pytest.approx(scores[:-1].sum(), rel=1e-4) and row["prompt_tokens"] == cut.start


def test_what_reads_models_is_part_of_what_a_verdict_is_known_by(monkeypatch: pytest.MonkeyPatch):
    judge = PolicyLikelihood(model=tiny())
    before = judge.fingerprint, judge.needs()[0].key
    for module in (base, need_module):
        monkeypatch.setattr(module, "VERSION", need_module.VERSION + 1)
    after = judge.fingerprint, judge.needs()[0].key
    assert before[0] != after[0] and before[1] != after[1]


def test_a_token_beyond_the_models_vocabulary_is_a_failure_of_its_own_response_only():
    model = Local(backend().network, Local.load(tiny()).tokenizer, 512)
    model.tokenizer.add_special_tokens({"additional_special_tokens": ["[PAD]"]})
    found = table(work({"Hi": ["such as [PAD] here", "Yes."]}), model)
    failures = dict(found.select("text", "failure").iter_rows())
    assert failures["Yes."] is None and "not a finite number" in failures["such as [PAD] here"]


def test_a_batch_behind_a_prefix_keeps_nothing_unless_something_goes_on_from_it():
    import torch

    from pairwright.models.local.kv_cache import Stored, StoredError

    before = torch.arange(6.0).reshape(1, 1, 3, 2)
    added = torch.arange(100.0, 108.0).reshape(2, 1, 2, 2)
    seen = torch.cat((before.expand(2, -1, -1, -1), added), 2)
    for keep in (False, True):
        cache = Stored([(before, -before)], keep=keep)
        keys, values = cache.update(added, -added, 0)
        assert torch.equal(keys, seen)
        assert torch.equal(values, -seen)
        assert cache.get_seq_length() == (5 if keep else 3)
    ((keys, values),) = cache.prefix(1, np.array([0, 1, 3]))
    assert torch.equal(keys, seen[1:, :, [0, 1, 3]])
    assert torch.equal(values, -keys)
    ending = Stored(None, keep=True, last=1)
    ending.update(added, added, 0)
    with pytest.raises(StoredError):
        ending.update(added, added, 1)
    assert len(ending.prefix(0, np.arange(2))) == 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_what_a_batch_frees_is_kept_for_the_next():
    run = subprocess.run([sys.executable, "-c", FAULTS], stdout=subprocess.PIPE, text=True, check=True)
    assert int(run.stdout) < 10_000, "given back each time, these tensors are tens of thousands of pages"
