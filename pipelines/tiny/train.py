"""Trains the tiny models: `python -m pairwright.pipelines.tiny.train [FOLDER]`, about two minutes on two cores.

A Llama of one million parameters. `strong` is where training ends, `weak` a checkpoint after a tenth of it. What is
learned, in which order and for how many tokens is fixed by the seed, so the same machine makes the same weights.
"""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pairwright.pipelines.tiny.text import dialogue, items

SEED = 0
DIALOGUES = 16_000
TOKENS = 1_500_000
WEAK = 0.1
BATCH = 3_072
"""Tokens of a batch, padding included."""
VOCABULARY = 1_024
MARKS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
Example = tuple[list[int], list[int]]
"""Token ids, and the same with -100 where nothing is learned."""


def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE learned from texts, with the chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=MARKS, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=MARKS[0],
        eos_token=MARKS[1],
        additional_special_tokens=MARKS[2:],
        model_max_length=512,
    )
    fast.chat_template = TEMPLATE
    return fast


def network() -> LlamaForCausalLM:
    """The untrained model."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    config._attn_implementation = "eager"
    return LlamaForCausalLM(config)


def examples(tok: PreTrainedTokenizerFast, chance: random.Random) -> list[Example]:
    """Dialogues as tokens; of a bad answer nothing is learned but the reaction."""
    learn, _ = items()
    made = []
    for _ in range(DIALOGUES):
        turns = dialogue(chance, learn)
        ids: list[int] = []
        labels: list[int] = []
        for text, taught in (
            (f"<|user|>\n{turns.question}<|end|>\n<|assistant|>\n", True),
            (f"{turns.answer}<|end|>", turns.good),
            ("\n<|user|>\n", True),
            (f"{turns.reaction}<|end|>", True),
        ):
            piece = tok.encode(text, add_special_tokens=False)
            ids += piece
            labels += piece if taught else [-100] * len(piece)
        made.append((ids, labels))
    return made


def batches(every: list[Example], chance: random.Random) -> Iterator[list[Example]]:
    """Batches of examples of about one length, without end."""
    while True:
        window = sorted(chance.sample(every, 120), key=lambda example: len(example[0]))
        window = window[chance.randrange(90) :]
        fitting = [e for i, e in enumerate(window) if len(e[0]) * (i + 1) <= BATCH]
        yield fitting


def tensors(batch: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and labels."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in batch])
    labels = torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in batch])
    return ids, labels


def optimizers(model: LlamaForCausalLM) -> list[tuple[Any, float]]:
    """Muon for the matrices, AdamW for embeddings and norms, each with its peak learning rate."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in named if p.ndim != 2 or "embed" in name]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.0)
    return [(muon, 0.02), (torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.95)), 3e-3)]


def train(model: LlamaForCausalLM, every: list[Example], chance: random.Random) -> dict[str, torch.Tensor]:
    """Train for TOKENS tokens; the weights after a tenth of them."""
    weak: dict[str, torch.Tensor] = {}
    seen = step = 0
    both = optimizers(model)
    stream = batches(every, chance)
    while seen < TOKENS:
        share = seen / TOKENS
        for optimizer, peak in both:
            for group in optimizer.param_groups:
                group["lr"] = peak * min(1, (step + 1) / 15) * min(1, max(0.05, 2 * (1 - share)))
        batch = next(stream)
        ids, labels = tensors(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids).logits[:, :-1]
        loss = cross_entropy(logits.float().transpose(1, 2), labels[:, 1:], ignore_index=-100)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in both:
            optimizer.step()
            optimizer.zero_grad()
        seen += sum(len(ids) for ids, _ in batch)
        step += 1
        if not weak and seen >= WEAK * TOKENS:
            weak = {name: value.detach().clone() for name, value in model.state_dict().items()}
        if step % 100 == 0:
            print(f"{seen:,} tokens, loss {loss.item():.3f}", flush=True)
    return weak


def main(folder: Path) -> None:
    """Train, and write both models below `folder`."""
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    chance = random.Random(SEED)  # noqa: S311 - a fixed order, no secret
    learn, _ = items()
    texts = [text for _ in range(4_000) for text in dialogue(chance, learn) if isinstance(text, str)]
    tok = tokenizer(texts)
    model = network()
    weak = train(model, examples(tok, chance), chance)
    for name, state in (("strong", model.state_dict()), ("weak", weak)):
        one: Any = network()
        one.load_state_dict(state)
        one.config._attn_implementation = "sdpa"
        one.to(torch.bfloat16).save_pretrained(folder / name)
        tok.save_pretrained(folder / name)
        (folder / name / "generation_config.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
