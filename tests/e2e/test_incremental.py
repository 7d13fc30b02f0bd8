"""Incremental equals from scratch: after any chain of edits, a build's release is the one of a build into nothing."""

import copy
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from helpers import build, data_files, recipe_of, wide, write_jsonl
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from replay_server import App, Settings, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.sampling.sample import respond, sample_shard
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe

JUDGES: list[dict[str, Any]] = [
    {"kind": "bleu"},
    {"kind": "bleu", "name": "other-bleu", "references": "mean"},
    {"kind": "unigram-f1"},
    {"kind": "length", "unit": "words"},
    {"kind": "test-counting", "salt": "x"},
    {"kind": "test-counting", "name": "coarse", "values": 3},
]
FILTERS: list[list[dict[str, Any]]] = [
    [],
    [{"kind": "margin", "minimum": 0.1}],
    [{"kind": "margin", "keep_fraction": 0.6}],
    [{"kind": "near-identical", "minimum": 0.05}, {"kind": "margin", "keep_fraction": 0.9}],
]
STRATEGIES = ["best-vs-worst", "best-vs-random", "best-vs-random-non-max", "adjacent", "all"]


class Edits(RuleBasedStateMachine):
    """A user who edits recipe and sources, and builds now and then."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edits"))
        self.rows = wide(8)
        self.next = len(self.rows)
        self.parts: dict[str, Any] = {"judges": JUDGES[:1], "shards": 2}
        self.policies: list[dict[str, Any]] = []

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def begin(self) -> None:
        self.compared()

    @rule(chosen=st.sets(st.integers(0, len(JUDGES) - 1), min_size=1), heavy=st.sampled_from([0.5, 2.0]))
    def other_judges(self, chosen: set[int], heavy: float) -> None:
        judges = [JUDGES[i] for i in sorted(chosen)]
        self.parts["judges"] = judges
        self.parts["jury"] = {"weights": {judges[0].get("name", judges[0]["kind"]): heavy}}

    @rule(filters=st.sampled_from(FILTERS), strategy=st.sampled_from(STRATEGIES), most=st.sampled_from([None, 2]))
    def other_pairs(self, filters: list[dict[str, Any]], strategy: str, most: int | None) -> None:
        self.parts["filters"] = filters
        self.parts["pairs"] = {"strategy": strategy, **({"max_per_prompt": most} if most else {})}

    @rule(shards=st.integers(1, 5), share=st.sampled_from([0.0, 0.3]), temperature=st.sampled_from([1.0, 0.5]))
    def other_layout(self, shards: int, share: float, temperature: float) -> None:
        self.parts |= {"shards": shards, "release": {"test_fraction": share}, "rankings": {"temperature": temperature}}

    @rule(count=st.integers(1, 4))
    def more_prompts(self, count: int) -> None:
        self.rows += wide(count, first=self.next)
        self.next += count

    @precondition(lambda self: len(self.rows) > 5)
    @rule(place=st.integers(0, 99))
    def fewer_prompts(self, place: int) -> None:
        del self.rows[place % len(self.rows)]

    @rule(place=st.integers(0, 99), word=st.sampled_from(["again", "w7"]))
    def another_reference(self, place: int, word: str) -> None:
        row = self.rows[place % len(self.rows)]
        row["references"] = [f"{row['references'][0]} {word}"]

    @rule(place=st.integers(0, 99))
    def another_response(self, place: int) -> None:
        row = self.rows[place % len(self.rows)]
        row["responses"][0] += " and more"

    @rule(seed=st.integers(0, 9))
    def another_order(self, seed: int) -> None:
        random.Random(seed).shuffle(self.rows)

    @rule(
        names=st.sets(st.sampled_from("abc"), max_size=3), size=st.sampled_from([None, 1, 2]), count=st.integers(1, 2)
    )
    def other_policies(self, names: set[str], size: int | None, count: int) -> None:
        self.policies = [
            {"name": one, "kind": "openai", "model": one, "samples": count, "base_url": self.url}
            for one in sorted(names)
        ]
        self.parts["pool"] = {"size": size} if size and self.policies else None

    @rule()
    def compared(self) -> None:
        write_jsonl(self.folder / "rows.jsonl", self.rows)
        parts = {key: value for key, value in self.parts.items() if value is not None}
        recipe = recipe_of(self.folder, "rows.jsonl", policies=self.policies, **copy.deepcopy(parts))
        grown = released(recipe, self.folder / "data")
        fresh = released(recipe, self.folder / "nothing")
        shutil.rmtree(self.folder / "nothing")
        assert grown == fresh


def released(recipe: Recipe, data: Path) -> dict[str, bytes]:
    """The Parquet files of a build's release."""
    workspace = Workspace.of(recipe, data)
    if recipe.policies:
        take_in(recipe, workspace)
        for shard in workspace.each_shard():
            for policy in policies_of(recipe):
                sample_shard(recipe, policy, workspace, shard)
            respond(recipe, workspace, shard)
    try:
        return data_files(build(recipe, data).path)
    except PairwrightError as error:  # an edit may leave no pair
        assert "no pair is left" in str(error)
        return {}


@pytest.mark.parametrize("examples", [4, pytest.param(150, marks=pytest.mark.slow)])
def test_any_chain_of_edits_ends_where_a_build_into_nothing_ends(examples: int) -> None:
    with serving(App(Settings())) as url:
        Edits.url = url
        run_state_machine_as_test(
            Edits,
            settings=settings(
                max_examples=examples, stateful_step_count=9, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
