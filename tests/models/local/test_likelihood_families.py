"""Models of other families than the tiny ones, with random weights, against reading one text at a time in 64 bits."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import transformers
from tiny_models import backend, work

from pairwright.models.local import local
from pairwright.models.local.engine import read
from pairwright.models.local.local import Local
from pairwright.models.local.packing import Branch, flat
from pairwright.models.local.rendering import Renderer
from pairwright.models.local.request import PassRequest, utterance_id
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.models import CausalModel

SIZES: dict[str, Any] = {
    "vocab_size": 1088,  # padded beyond the tokenizer's 1024
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
FAMILIES: dict[str, Any] = {
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=1088, n_embd=32, n_layer=2, n_head=4, n_positions=512, initializer_range=0.2
    ),
    "mistral with a window": lambda: transformers.MistralConfig(**SIZES, sliding_window=16),
    "gemma, embeddings scaled": lambda: transformers.GemmaConfig(**SIZES, head_dim=8),
    "gemma 2, logits capped": lambda: transformers.Gemma2Config(
        **SIZES, head_dim=8, final_logit_softcapping=5.0, attn_logit_softcapping=10.0, sliding_window=16
    ),
    "cohere, logits scaled": lambda: transformers.CohereConfig(**SIZES, logit_scale=0.3),
    "qwen 3": lambda: transformers.Qwen3Config(**SIZES, head_dim=8),
    "bloom, positions by distance": lambda: transformers.BloomConfig(
        vocab_size=1088, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2
    ),
}
PROMPTS: list[tuple[Any, list[str]]] = [
    ("Explain the tide to me now. " * 20, ["It is the moon.", "", "The sun, and the moon. " * 3, "No."]),
    (
        [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
        ["one answer to it", "好的"],
    ),
]
FOLLOW_UPS = ("Thank you.", "That is wrong, you know.")


def saved(config: Any, folder: Path) -> CausalModel:
    """A model with random weights and the tiny models' tokenizer."""
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    backend().tokenizer.save_pretrained(folder)
    return CausalModel(id=str(folder), device="cpu", max_tokens=512)


@pytest.mark.parametrize("logits", [local.LOGITS, 8 * SIZES["vocab_size"]], ids=["at once", "in pieces"])
@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_are_the_oracles_in_other_families(
    family: str, logits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local, "LOGITS", logits)
    model = saved(FAMILIES[family](), tmp_path)
    batch = work(PROMPTS)
    need = PassRequest(model, wants=frozenset({"hidden"}), follow_ups=FOLLOW_UPS)
    rows = pl.concat(read(batch, need, Local.load(model))).join(batch.responses, on=["prompt_id", "response_id"])
    exact = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64).eval()
    renderer = Renderer(backend().tokenizer, 512, "oracle")
    turns = dict(batch.prompts.select("prompt_id", "messages").iter_rows())

    @torch.inference_mode()
    def oracle(ids: list[int], start: int) -> tuple[torch.Tensor, torch.Tensor]:
        answer = exact(input_ids=torch.tensor([ids]), use_cache=False, output_hidden_states=True)
        scores = torch.log_softmax(answer.logits[0], -1)[range(start - 1, len(ids) - 1), ids[start:]]
        return scores, answer.hidden_states[-1][0, start - 1 : -1].sum(0)

    for row in rows.iter_rows(named=True):
        (text,) = renderer.texts(turns[row["prompt_id"]], [row["text"]])
        assert text is not None
        scores, states = oracle(text.ids, text.start)
        assert row["logprob"] == pytest.approx(scores[:-1].sum().item(), rel=1e-4, abs=1e-4)
        assert row["end_logprob"] == pytest.approx(scores[-1].item(), rel=1e-4)
        (own,) = (entry["sums"] for entry in row["gram"] if entry["other"] == row["response_id"])
        assert own == pytest.approx((states @ states).item(), rel=1e-4)
        said = {entry["utterance"]: entry["logprob"] for entry in row["follow_ups"]}
        for utterance in FOLLOW_UPS:
            ((ids, start),) = renderer.follow_up_texts(text.prompt, row["text"], [utterance])
            expected = oracle(ids[text.cut :], start - text.cut)[0].sum().item()
            assert said[utterance_id(utterance)] == pytest.approx(expected, rel=1e-4)


def test_a_long_text_does_not_turn_the_positions_of_those_beside_it(tmp_path: Path):
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "original_max_position_embeddings": 64}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    model = Local.load(saved(transformers.LlamaConfig(**SIZES, rope_parameters=rope), tmp_path))
    prompt = [(7 * i * i + 3) % 1000 for i in range(40)]
    tail = (Branch([5, 6, 7, 8], 2, (0, 9), 0),)
    sizes = {0: 5, 1: 24, 2: 25, 3: 26, 4: 100}  # 40 and 25 tokens: the last is not read, so 64 are
    group = [
        Branch([*prompt, *((11 * i * i + k) % 1000 for i in range(size))], 40, (k,), 45, tail if k == 4 else ())
        for k, size in sizes.items()
    ]
    together = model.read([group, [Branch(prompt[:30], 9, (5,))]])
    for one in flat([*group, Branch(prompt[:30], 9, (5,))]):
        ids = torch.tensor([one.ids[:-1]])
        with torch.inference_mode():
            scores = torch.log_softmax(model.network(input_ids=ids, use_cache=False).logits[0].double(), -1)
        alone = sum(scores[i - 1, one.ids[i]].item() for i in range(one.start, len(one.ids)))
        assert together[one.sink].logprobs.sum() == pytest.approx(alone, rel=1e-4), one.sink


def test_an_encoder_is_no_causal_model(tmp_path: Path):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = saved(transformers.BertConfig(vocab_size=1024, **sizes, initializer_range=0.2), tmp_path)
    with pytest.raises(JudgeError, match=r"BertLMHeadModel.*sees the tokens that it is to predict") as error:
        Local.load(model)
    assert "\n" not in str(error.value)
