"""Samples a second of a policy in this process against a hand-batched `generate` of the same model.

The tiny model in 32 bits on one thread; both write at most 64 tokens for 400 samples in batches of 32 of like lengths,
take turns, and the best of several rounds counts, in processor time.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import time
from pathlib import Path

import torch

from pairwright.models.local.generate import Draft, Drawing, Writer
from pairwright.schemas.models import CausalModel

TINY = Path(__file__).parents[1] / "pipelines" / "tiny" / "strong"
ROUNDS, ROWS, LONGEST, TEMPERATURE = 5, 32, 64, 0.8


def measure() -> dict[str, float]:
    """The ratio of samples a second."""
    torch.set_num_threads(1)
    writer = Writer.load(CausalModel.model_validate(str(TINY)), ROWS)
    prompts = [
        [{"role": "user", "content": f"Tell me about the number {i}{' and why' * (i % 13)}."}] for i in range(100)
    ]
    drafts = [Draft((i, j), prompt, 1_000 * i + j) for i, prompt in enumerate(prompts) for j in range(4)]
    ours, bare = [], []
    for _ in range(ROUNDS):
        start = time.process_time()
        written = sum(len(batch) for batch in writer.write(drafts, Drawing(TEMPERATURE, 1.0, LONGEST)))
        ours.append(time.process_time() - start)
        assert written == len(drafts)
        start = time.process_time()
        _generate(writer, drafts)
        bare.append(time.process_time() - start)
    return {"transformers_policy_vs_generate": min(bare) / min(ours)}


@torch.inference_mode()
def _generate(writer: Writer, drafts: list[Draft]) -> None:
    """What a person would write: prompts sorted by length, padded on the left, sampled, decoded."""
    tokenizer = writer.tokenizer
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    texts = sorted((writer.renderer.prompt(one.messages) for one in drafts), key=len)
    for begin in range(0, len(texts), ROWS):
        batch = tokenizer(texts[begin : begin + ROWS], add_special_tokens=False, padding=True, return_tensors="pt")
        found = writer.network.generate(
            **batch,
            do_sample=True,
            temperature=TEMPERATURE,
            top_k=0,
            max_new_tokens=LONGEST,
            eos_token_id=sorted(writer.ends),
            pad_token_id=tokenizer.pad_token_id,
        )
        tokenizer.batch_decode(found[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
