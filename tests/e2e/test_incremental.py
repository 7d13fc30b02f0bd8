"""Incremental equals from scratch: after any chain of edits, a build's release is the one of a build into nothing."""

import copy
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from growing import Edited, answer, seconds_of
from helpers import wide, write_jsonl
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from replay_server import App, Settings, judge_by_hash, serving
from tiny_models import TINY

JUDGES: list[dict[str, Any]] = [
    {"kind": "bleu"},
    {"kind": "bleu", "name": "other-bleu", "references": "mean"},
    {"kind": "unigram-f1"},
    {"kind": "length", "unit": "words"},
    {"kind": "test-counting", "salt": "x"},
    {"kind": "test-counting", "name": "coarse", "values": 3},
]
BY_MODELS: list[dict[str, Any]] = [
    {"kind": "llm-rating", "name": "rubric", "model": "m1"},
    {"kind": "llm-rating", "name": "at-once", "model": "m1", "per_call": "all", "reference": True},
    {"kind": "llm-pairwise", "name": "duel", "model": "m2"},
    {"kind": "llm-pairwise", "name": "once", "model": "m1", "orders": "one", "pairs": "all"},
    {"kind": "llm-listwise", "name": "order", "model": "m2"},
]
"""Judges that ask a server."""
DOMAINS = {"chat": {"instruction": "Chat."}, "code": {"instruction": "Code."}}
COLUMNS: list[list[Any]] = [[], ["tags"], ["finish-reason", {"kind": "tags", "name": "labels"}]]
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
    routes = False
    """Whether a judge may have a router, which loads models."""
    kills = False
    landed: ClassVar[list[bool]] = []

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="edits"))
        self.rows = wide(8)
        self.next = len(self.rows)
        self.parts: dict[str, Any] = {"judges": JUDGES[:1], "shards": 2}
        self.policies: list[dict[str, Any]] = []
        self.seconds = 1.0

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def begin(self) -> None:
        self.compared(0.5)

    @rule(
        chosen=st.sets(st.integers(0, len(JUDGES) - 1), min_size=1),
        by_models=st.sets(st.integers(0, len(BY_MODELS) - 1), max_size=2),
        heavy=st.sampled_from([0.5, 2.0]),
    )
    def other_judges(self, chosen: set[int], by_models: set[int], heavy: float) -> None:
        judges = [JUDGES[i] for i in sorted(chosen)]
        asked = [BY_MODELS[i] | {"base_url": self.url} for i in sorted(by_models)]
        self.parts["judges"] = [*judges, *asked]
        self.parts["jury"] = {"weights": {judges[0].get("name", judges[0]["kind"]): heavy}}

    @precondition(lambda self: self.routes)
    @rule(router=st.sampled_from(["m1", "m2", None]), text=st.sampled_from(["Chat.", "Talk."]))
    def other_router(self, router: str | None, text: str) -> None:
        others = [one for one in self.parts["judges"] if one["kind"] != "density-ratio"]
        sorts = {"model": router, "base_url": self.url, "domains": {"chat": "talk", "code": "programs"}}
        ratio = {
            "kind": "density-ratio",
            "strong": str(TINY / "strong"),
            "weak": str(TINY / "weak"),
            "domains": DOMAINS | {"chat": {"instruction": text}},
            "router": sorts,
        }
        self.parts["judges"] = [*others, *([ratio] if router else [])]

    @rule(columns=st.sampled_from(COLUMNS))
    def other_columns(self, columns: list[Any]) -> None:
        self.parts["release"] = self.parts.get("release", {}) | {"columns": columns}

    @rule(place=st.integers(0, 99), tags=st.sampled_from([["x"], ["x", "y"]]))
    def other_tags(self, place: int, tags: list[str]) -> None:
        self.rows[place % len(self.rows)]["tags"] = tags

    @rule(filters=st.sampled_from(FILTERS), strategy=st.sampled_from(STRATEGIES), most=st.sampled_from([None, 2]))
    def other_pairs(self, filters: list[dict[str, Any]], strategy: str, most: int | None) -> None:
        self.parts["filters"] = filters
        self.parts["pairs"] = {"strategy": strategy, **({"max_per_prompt": most} if most else {})}

    @rule(shards=st.integers(1, 5), share=st.sampled_from([0.0, 0.3]), temperature=st.sampled_from([1.0, 0.5]))
    def other_layout(self, shards: int, share: float, temperature: float) -> None:
        self.parts |= {"shards": shards, "rankings": {"temperature": temperature}}
        self.parts["release"] = self.parts.get("release", {}) | {"test_fraction": share}

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

    @rule(share=st.floats(0.0, 1.0))
    def compared(self, share: float) -> None:
        """A build over what there is, and one into nothing; before it, one that is killed after a share of its time."""
        edited = self.edited()
        if self.kills:
            self.landed.append(edited.killed(self.folder / "data", share * self.seconds))
        grown = edited.released(self.folder / "data")
        fresh, self.seconds = seconds_of(edited.released, self.folder / "nothing")
        shutil.rmtree(self.folder / "nothing")
        assert grown == fresh

    def edited(self) -> Edited:
        """What the user has now, written down."""
        write_jsonl(self.folder / "rows.jsonl", self.rows)
        parts = {key: value for key, value in self.parts.items() if value is not None}
        return Edited(self.folder, copy.deepcopy(parts | {"policies": self.policies}))


class Killed(Edits):
    """The same user, whose builds are killed now and then."""

    kills = True


def chains(machine: type[Edits], examples: int, routes: bool) -> None:
    """Run chains of edits against a server that answers by content."""
    machine.routes, machine.landed = routes, []

    def reply(body: dict[str, Any]) -> str:
        return answer(body) if "response_format" in body else judge_by_hash(body)

    with serving(App(Settings(), reply)) as url:
        machine.url = url
        options = settings(
            max_examples=examples, stateful_step_count=9, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(machine, settings=options)


@pytest.mark.parametrize("examples", [4, pytest.param(150, marks=pytest.mark.slow)])
def test_any_chain_of_edits_ends_where_a_build_into_nothing_ends(examples: int) -> None:
    chains(Edits, examples, routes=examples > 10)


@pytest.mark.parametrize("examples", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_and_so_it_does_where_builds_are_killed_on_the_way(examples: int) -> None:
    chains(Killed, examples, routes=examples > 10)
    print(f"{sum(Killed.landed)} of {len(Killed.landed)} kills landed")  # what a run by hand is for
