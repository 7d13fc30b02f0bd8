"""The likelihood engine against a bare forward pass, and against reading texts, pairs and follow-ups one by one.

A random Llama of six million parameters in 32 bits on one thread. Each figure is a ratio of the best of several
interleaved runs, in processor time, which a busy machine disturbs less than the clock on the wall.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch

from pairwright.judges.base import Batch
from pairwright.judges.utterances import REMARKS
from pairwright.models.local.engine import read
from pairwright.models.local.loading import prepare
from pairwright.models.local.local import Local
from pairwright.models.local.packing import Branch
from pairwright.models.local.request import PassRequest
from pairwright.schemas.ids import prompt_id, response_id
from pairwright.schemas.models import CausalModel
from pairwright.schemas.tables import MESSAGES

TINY = Path(__file__).parents[1] / "pipelines" / "tiny" / "strong"
ROUNDS = 7
VOCABULARY = 1_024
REMARKED = tuple(text for remarks in REMARKS.values() for side in remarks for text in side)


def model() -> Local:
    """The model in memory, with the tiny models' tokenizer."""
    prepare()  # the same settings for the engine and for its peers
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=7,
        num_attention_heads=4,
        max_position_embeddings=2_048,
        tie_word_embeddings=True,
    )
    network = LlamaForCausalLM(config).eval()
    return Local(network, AutoTokenizer.from_pretrained(TINY), 2_048)


def groups(prompts: int, responses: int, prompt_tokens: int, response_tokens: int) -> list[list[Branch]]:
    """Prompts with responses of half to one and a half times a length, as random tokens."""
    chance = random.Random(0)

    def tokens(count: int) -> list[int]:
        return [chance.randrange(5, VOCABULARY) for _ in range(count)]

    made = []
    for i in range(prompts):
        prompt = tokens(prompt_tokens)
        lengths = [max(1, int(response_tokens * chance.uniform(0.5, 1.5))) for _ in range(responses)]
        made.append(
            [Branch([*prompt, *tokens(n), 1], prompt_tokens, (i, j), hidden=True) for j, n in enumerate(lengths)]
        )
    return made


def best(*jobs: Callable[[], Any]) -> list[float]:
    """Processor seconds of each job: the best of several rounds in which they take turns."""
    times = [[] for _ in jobs]
    for _ in range(ROUNDS):
        for job, seconds in zip(jobs, times, strict=True):
            start = time.process_time()
            job()
            seconds.append(time.process_time() - start)
    return [min(seconds) for seconds in times]


@torch.inference_mode()
def one_by_one(engine: Local, texts: list[list[int]], *, hidden: bool = False) -> None:
    """A plain forward pass for each text, with the log-probabilities of all of it."""
    for ids in texts:
        answer = engine.network(input_ids=torch.tensor([ids]), use_cache=False, output_hidden_states=hidden)
        torch.log_softmax(answer.logits[0].float(), -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].sum().item()


@torch.inference_mode()
def bare(engine: Local, tokens: int, length: int) -> None:
    """Forward passes over equal lengths without padding, logits of every position included."""
    rows = max(1, engine.budget // length)
    for _ in range(_passed(engine, tokens, length) // (rows * length)):
        engine.network(input_ids=torch.randint(5, VOCABULARY, (rows, length)), use_cache=False)


def _passed(engine: Local, tokens: int, length: int) -> int:
    """Tokens that `bare` reads: whole batches, about as many as asked for."""
    batch = max(1, engine.budget // length) * length
    return max(1, round(tokens / batch)) * batch


def log_probabilities(engine: Local) -> dict[str, float]:
    """Against the bare forward pass where nothing is shared, and one by one where prompts are 85 % of the text."""
    apart = groups(120, 1, 60, 90)
    tokens = sum(len(one.ids) for group in apart for one in group)
    exact = _passed(engine, tokens, 150)
    ours, forward = best(lambda: engine.read(apart), lambda: bare(engine, tokens, 150))
    shared = groups(4, 8, 400, 70)
    texts = [one.ids for group in shared for one in group]
    distinct = sum(400 + sum(len(one.ids) - 400 for one in group) for group in shared)
    fast, slow, least = best(
        lambda: engine.read(shared), lambda: one_by_one(engine, texts), lambda: bare(engine, distinct, 470)
    )
    short = groups(24, 4, 20, 30)
    quick, plain = best(lambda: engine.read(short), lambda: one_by_one(engine, [o.ids for g in short for o in g]))
    return {
        "logprob_vs_forward": (tokens / ours) / (exact / forward),
        "logprob_vs_one_by_one": slow / fast,
        "logprob_vs_one_by_one_bare": slow / (least * distinct / _passed(engine, distinct, 470)),
        "logprob_vs_one_by_one_short": plain / quick,
    }


def ches(engine: Local) -> dict[str, float]:
    """Inner products of all pairs of eight responses against two forward passes per ordered pair."""
    work = groups(2, 8, 60, 90)
    pairs = [ids.ids for group in work for a in group for b in group if a is not b for ids in (a, b)]
    ours, slow = best(lambda: engine.read(work), lambda: one_by_one(engine, pairs, hidden=True))
    return {"ches_vs_pairwise": slow / ours}


def text_work() -> Batch:
    """A few prompts of about 300 tokens with responses of about 120, as text."""
    chance = random.Random(1)
    words = [f"{a}{b}" for a in ("ba", "co", "di", "fu") for b in ("rn", "lt", "ne", "sk", "mp")]
    rows, responses = [], []
    for i in range(4):
        messages = [{"role": "user", "content": f"{i} " + " ".join(chance.choices(words, k=120))}]
        key = prompt_id(messages)
        rows.append({"prompt_id": key, "messages": messages})
        for _ in range(2):
            text = " ".join(chance.choices(words, k=chance.randrange(30, 60)))
            responses.append({"prompt_id": key, "response_id": response_id(key, text), "text": text})
    prompts = pl.DataFrame(rows, schema={"prompt_id": pl.String, "messages": MESSAGES})
    return Batch(prompts.sort("prompt_id"), pl.DataFrame(responses).sort("prompt_id", "response_id"))


def follow_ups(engine: Local) -> dict[str, float]:
    """120 remarks a response against a forward pass for each, and five signals of one pass against the dearest."""
    work = text_work()
    named = CausalModel(id=str(TINY))
    needs = [
        PassRequest(named),
        PassRequest(named, wants=frozenset({"tokens"})),
        PassRequest(named, wants=frozenset({"hidden"})),
        PassRequest(named, follow_ups=REMARKED),
        PassRequest(named, wants=frozenset({"tokens", "hidden"}), follow_ups=REMARKED),
    ]
    times = best(*(lambda need=need: list(read(work, need, engine)) for need in needs))
    first = work.responses.head(1)
    one = Batch(work.prompts.join(first, on="prompt_id", how="semi"), first)
    (row,) = read(one, needs[1], engine)
    ids = [0] * row["prompt_tokens"][0] + row["token_ids"][0].to_list()
    tails = [engine.tokenizer(f"<|end|>\n<|user|>\n{text}", add_special_tokens=False)["input_ids"] for text in REMARKED]
    naive = [[*ids, *tail] for tail in tails]
    ours, slow = best(lambda: list(read(one, needs[3], engine)), lambda: one_by_one(engine, naive))
    return {"follow_up_vs_naive": slow / ours, "fused_vs_dearest": times[-1] / max(times[:-1])}


def measure() -> dict[str, float]:
    """All figures."""
    torch.set_num_threads(1)
    engine = model()
    return {**log_probabilities(engine), **ches(engine), **follow_ups(engine)}


if __name__ == "__main__":
    for figure, value in measure().items():
        print(f"{figure:28} {value:8.2f}")
