"""TRL's own trainers take real steps on exported releases, with a tiny model made here, and learn from them."""

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra test-trainers: pip install 'pairwright[test-trainers]'")
pytest.importorskip("torch", reason="needs torch: pip install 'pairwright[models]'")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import release_folder as hand
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from pairwright.assets.publishing.export import export, format_named

STEPS = 10
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def rows() -> list[dict[str, Any]]:
    """Pairs in which the chosen side is recognisable, so that a few steps can learn it; one has a system prompt."""
    made = []
    for i in range(48):
        prompt = [hand.turn("user", f"What is {i} plus one?")]
        sides = (f"It is {i + 1}.", f"No idea about {i}, sorry.")
        made.append(hand._pair(10 * i + 10, [hand.SYSTEM, *prompt] if i == 7 else prompt, *sides, split="train"))
    return made


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<pad>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    raw.train_from_iterator(
        [text for row in rows() for side in ("prompt", "chosen", "rejected") for text in [row[side][-1]["content"]]],
        trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    made = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<|end|>")
    made.chat_template = TEMPLATE
    return made


def config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    torch.manual_seed(0)
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def exported(folder: Path, kind: str, **options: Any) -> Dataset:
    made = export(hand.make(folder / "v1", rows()), format_named(kind, **options), folder / "out")
    return Dataset.from_parquet(str(made.path / "train.parquet"), cache_dir=str(folder / "cache"))


def arguments(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "run"),
        "max_steps": STEPS,
        "per_device_train_batch_size": 8,
        "learning_rate": 5e-3,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "disable_tqdm": True,
        "seed": 0,
    }


def falls(trainer: Any) -> None:
    """Train; the loss of the last steps is below that of the first."""
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == STEPS
    assert sum(losses[-3:]) / 3 < 0.97 * losses[0], losses


@pytest.mark.parametrize("plain", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_dpo(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, plain: bool) -> None:
    from trl import DPOConfig, DPOTrainer

    falls(
        DPOTrainer(
            model=LlamaForCausalLM(config(tokenizer)),
            ref_model=LlamaForCausalLM(config(tokenizer)),
            args=DPOConfig(**arguments(tmp_path), beta=0.5),
            train_dataset=exported(tmp_path, "trl", plain=plain),
            processing_class=tokenizer,
        )
    )


@pytest.mark.parametrize("plain", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_kto(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, plain: bool) -> None:
    from trl import KTOConfig, KTOTrainer

    falls(
        KTOTrainer(
            model=LlamaForCausalLM(config(tokenizer)),
            ref_model=LlamaForCausalLM(config(tokenizer)),
            args=KTOConfig(**arguments(tmp_path), beta=0.5),
            train_dataset=exported(tmp_path, "kto", plain=plain),
            processing_class=tokenizer,
        )
    )


def test_reward(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    from trl import RewardConfig, RewardTrainer

    model = config(tokenizer)
    model.num_labels = 1
    data = exported(tmp_path, "trl-implicit")
    assert data[0]["margin"] == rows()[0]["margin"]
    falls(
        RewardTrainer(
            model=LlamaForSequenceClassification(model),
            args=RewardConfig(**arguments(tmp_path), max_length=128),
            train_dataset=data,
            processing_class=tokenizer,
        )
    )


def test_orpo(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    falls(
        ORPOTrainer(
            model=LlamaForCausalLM(config(tokenizer)),
            args=ORPOConfig(**arguments(tmp_path), max_length=128),
            train_dataset=exported(tmp_path, "trl"),
            processing_class=tokenizer,
        )
    )
