"""TRL trains on exports with tools, images and reasoning: its own loader, template, collator and step."""

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs the extra test-trainers: pip install 'pairwright[test-trainers]'")
pytest.importorskip("torch", reason="needs torch: pip install 'pairwright[models]'")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import polars as pl
import release_folder as hand
import torch
from datasets import Dataset
from helpers import image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pairwright.assets.publishing.export import export, format_named
from pairwright.assets.storage.media import put_bytes
from pairwright.schemas.conversation import stored
from pairwright.schemas.tool_calls import canonical

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c1", "name": "weather", "arguments": {"city": "Rome"}}
TEMPLATE = """{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}
{%- for message in messages %}<|{{ message['role'] }}|>
{%- if message['reasoning_content'] is defined %}({{ message['reasoning_content'] }}){% endif %}
{%- if message['content'] is string %}{{ message['content'] }}{% else %}
{%- for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}
{%- endfor %}{% endif %}
{%- for call in message['tool_calls'] or [] %}[{{ call['function']['name'] }}
{%- for name, value in call['function']['arguments'].items() %} {{ name }}={{ value }}{% endfor %}]{% endfor %}<|end|>
{%- endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and a few special tokens."""
    special = ["<pad>", "<|end|>", "<image>", *(f"<|{role}|>" for role in ("system", "user", "assistant", "tool"))]
    names = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={name: number for number, name in enumerate(names)}, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.add_special_tokens(special)
    made = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<|end|>")
    made.chat_template = TEMPLATE
    return made


def exported(folder: Path, rows: list[dict[str, Any]], **options: Any) -> Dataset:
    nothing = dict.fromkeys(("typed", "tools", "chosen_reasoning", "rejected_reasoning", "chosen_tool_calls"))
    rows = [{**nothing, **row} for row in rows]
    made = hand.make(folder / "releases" / "v1", rows, overrides=dict.fromkeys(nothing, pl.String))
    out = export(made, format_named("trl", **options), folder / "out")
    return Dataset.from_parquet(str(out.path / "train.parquet"), cache_dir=str(folder / "cache"))


def arguments(folder: Path, **more: Any) -> dict[str, Any]:
    told = {"output_dir": str(folder / "run"), "max_steps": 1, "per_device_train_batch_size": 2, "report_to": "none"}
    told |= {"save_strategy": "no", "use_cpu": True, "bf16": False, "activation_checkpointing": False}
    return told | {"disable_tqdm": True, "seed": 0, "max_length": None, "logging_steps": 1, **more}


def test_a_step_of_dpo_on_tools_calls_and_reasoning(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    from trl import DPOConfig, DPOTrainer

    asked = {"role": "user", "content": "How warm?"}
    talk = [
        asked,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "22"},
    ]
    tools = canonical([WEATHER])
    rows = []
    for i, (turns, chosen, more) in enumerate(
        [
            (talk, "22 degrees", {"chosen_reasoning": "it says 22"}),
            ([asked], "", {"chosen_tool_calls": canonical([CALL])}),
        ]
    ):
        messages, typed = stored(turns)
        more |= {"typed": typed, "tools": tools, "split": "train"}
        rows.append(hand._pair(10 * i, messages, chosen, "no idea", **more))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    trainer = DPOTrainer(
        model=LlamaForCausalLM(config),
        ref_model=LlamaForCausalLM(config),
        args=DPOConfig(**arguments(tmp_path)),
        train_dataset=exported(tmp_path, rows, reasoning="keep"),
        processing_class=tokenizer,
    )
    shown = [
        [tokenizer.decode(row[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids")]
        for row in trainer.train_dataset
    ]
    assert [prompt.startswith('<|system|>[{"type": "function"') for prompt, _, _ in shown] == [True, True]
    assert "<|user|>How warm?<|end|><|assistant|>[weather city=Rome]<|end|><|tool|>22<|end|>" in shown[0][0]
    assert shown[0][1:] == ["(it says 22)22 degrees<|end|>", "no idea<|end|>"]
    assert shown[1][1:] == ["[weather city=Rome]<|end|>", "no idea<|end|>"]
    trainer.train()
    assert any("loss" in entry for entry in trainer.state.log_history)


def test_a_step_of_dpo_on_images(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from trl import DPOConfig, DPOTrainer

    rows = []
    for i, colour in enumerate(("red", "blue")):
        name = put_bytes(tmp_path / "media", "image", image(colour))
        content = [
            {"type": "text", "text": "Look:"},
            {"type": "image", "media": name},
            {"type": "text", "text": "What?"},
        ]
        messages, typed = stored([{"role": "user", "content": content}])
        rows.append(hand._pair(10 * i, messages, colour, "green", typed=typed, split="train"))
    size = {"height": 8, "width": 8}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size=size, crop_size=size),
        tokenizer=tokenizer,
        patch_size=4,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
        image_token="<image>",
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    seen = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    config = LlavaConfig(
        vision_config=seen,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    trainer = DPOTrainer(
        model=LlavaForConditionalGeneration(config),
        ref_model=LlavaForConditionalGeneration(config),
        args=DPOConfig(**arguments(tmp_path, remove_unused_columns=False)),
        train_dataset=exported(tmp_path, rows),
        processing_class=processor,
    )
    trainer.train()
    assert any("loss" in entry for entry in trainer.state.log_history)
