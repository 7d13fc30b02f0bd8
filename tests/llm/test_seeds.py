"""Seeds on a server that honours them, as vLLM does: a text depends on the seed alone, whatever the prompt."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import recipe_of, table, wide, write_jsonl
from replay_server import HELLO, App, Settings, number, serving

from pairwright.assets.policies.openai import Chat, Completion
from pairwright.assets.sample import policies_of, sample_shard, samples_table
from pairwright.assets.source import take_in
from pairwright.assets.store import Workspace
from pairwright.schemas.ids import SEEDS, seed_of

PROMPTS, SAMPLES = 12, 3


class Streams(App):
    """One stream of draws a seed, shared by all prompts; the i-th text of a call goes by seed + i."""

    def body_of(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
        if HELLO in str(body.get("messages") or body.get("prompt")):
            return super().body_of(body, fault)
        many = 1 if "n" in self.lies else body.get("n") or 1
        texts = [f"draw {number(str(body['seed'] + place))}" for place in range(many)]
        return self.chat_of(body, texts, fault)


@pytest.mark.parametrize(
    ("kind", "lies", "transport"),
    [
        ("openai", set(), "live"),
        ("openai", {"n"}, "live"),
        ("openai-completions", set(), "live"),
        ("openai", set(), "batch"),
    ],
)
def test_every_prompt_and_sample_has_draws_of_its_own(
    kind: str, lies: set[str], transport: str, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(PROMPTS))
    app = Streams(Settings())
    app.lies = lies
    policy = {"name": "w", "kind": kind, "model": "m", "samples": SAMPLES, "transport": transport, "poll": 0.05}
    with serving(app) as url:
        made = recipe_of(
            tmp_path, "rows.jsonl", shards=1, policies=[policy | {"base_url": url}], judges=[{"kind": "length"}]
        )
        workspace = Workspace.of(made, tmp_path / "data")
        take_in(made, workspace)
        (shard,) = workspace.each_shard()
        sample_shard(made, policies_of(made)[0], workspace, shard)
        rows = table(workspace, samples_table(policies_of(made)[0]))
    assert rows.get_column("text").n_unique() == PROMPTS * SAMPLES
    assert all(0 <= body["seed"] < SEEDS for body in app.bodies)


def test_a_seed_is_the_same_on_every_machine_and_leaves_room_to_count_on() -> None:
    assert seed_of("sample", "0", "a" * 24, "0") == 1_009_447_738
    found = [seed_of("sample", "0", str(i), "0") for i in range(2_000)]
    assert len(set(found)) == 2_000
    assert 0 <= min(found) and max(found) + 1_024 + 100 < 2**31
    spread = pl.Series(found).mean()
    assert spread == pytest.approx(SEEDS / 2, rel=0.05)


@pytest.mark.parametrize(("kind", "known"), [(Chat, "60bd0620f366364b"), (Completion, "22a8a974cf31e1d0")])
def test_what_was_drawn_under_the_old_seeds_keeps_its_names(kind: Any, known: str) -> None:
    policy = kind.model_validate({"model": "m", "samples": 4, "seed": 3, "temperature": 1.0, "logprobs": True})
    assert policy.fingerprint == known
    calls = [policy.call("a" * 24, [{"role": "user", "content": "hi"}], some) for some in ([0, 1, 2, 3], [2])]
    assert [call.key for call in calls] == ["fce7aae00557027faadcb8d4", "06ec539639962c98f1d20f52"]
    assert calls[0].body["seed"] != calls[1].body["seed"]
