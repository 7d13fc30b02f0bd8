"""Several builds of one data set at once, from whatever side, end in the releases that each of them makes alone."""

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from e2e import builder
from helpers import build, data_files, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.releasing.versions import Release, versions
from pairwright.assets.storage.build_lock import building
from pairwright.assets.storage.reply_ledger import spending
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.reading import load_recipe

DRIVER = Path(__file__).with_name("builder.py")
PATIENT = {"options": {"wait": 120.0}}
HOWS: dict[str, dict[str, Any]] = {
    "build": {"how": "build", **PATIENT},
    "relabel": {"how": "relabel", **PATIENT},
    "run": {"how": "run"},
}


class Builder:
    """A process that builds on demand."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(DRIVER.parents[1]), *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def begin(self, recipe: Path, data: Path, **task: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"recipe": str(recipe), "data": str(data), **task}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Builder]]:
    made = [Builder() for _ in range(2)]
    try:
        assert all(one.answer() == {"ready": True} for one in made)
        yield made
    finally:
        for one in made:
            one.process.kill()
            one.process.communicate()


def recipes(folder: Path, prompts: int = 40) -> list[Path]:
    """Three recipes of one data set, that differ in weights, strategies and judges."""
    write_jsonl(folder / "rows.jsonl", wide(prompts))
    length, bleu, f1 = ({"kind": kind} for kind in ("length", "bleu", "unigram-f1"))
    parts: list[dict[str, Any]] = [
        {"judges": [length, bleu]},
        {"judges": [length, bleu], "jury": {"weights": {"length": 3.0}}, "pairs": {"strategy": "all"}},
        {"judges": [bleu, f1], "pairs": {"strategy": "adjacent"}, "shards": 3},
    ]
    common = {"dataset": "shared", "prompts": {"source": "rows.jsonl"}, "shards": 2}
    paths = [folder / f"{name}.yaml" for name in "abc"]
    for path, part in zip(paths, parts, strict=True):
        path.write_text(json.dumps({**common, "schedule": {"relabel": "0 2 * * *"}, **part}))
    return paths


def alone(paths: list[Path], folder: Path) -> dict[str, dict[str, bytes]]:
    """The files that each recipe's release has, by the recipe as a manifest states it."""
    made = [build(load_recipe(path), folder / path.stem) for path in paths]
    return {stated(one): data_files(one.path) for one in made}


def stated(made: Release) -> str:
    return json.dumps(made.manifest["recipe"], sort_keys=True)


def at_once(builders: Sequence[Builder], paths: list[Path], data: Path, hows: list[str]) -> None:
    """Set them off together, each with its recipe; none may fail, and what it releases is its own."""
    expected = [
        json.dumps(load_recipe(path).model_dump(mode="json", exclude_unset=True), sort_keys=True) for path in paths
    ]
    working = list(zip(builders, paths, hows, expected, strict=False))
    for one, path, how, _ in working:
        one.begin(path, data, **HOWS[how])
    answers = [one.answer() for one, *_ in working]
    made = {one.version: one for one in versions(Workspace(data, "shared", 1))}
    for (*_, how, recipe), answer in zip(working, answers, strict=True):
        assert "done" in answer, answer
        if how != "run":  # which asks for the newest once its run is over
            assert stated(made[answer["done"]]) == recipe


def check(data: Path, expected: dict[str, dict[str, bytes]]) -> None:
    """Each version has the very rows of the recipe that its manifest states, and nothing is left lying about."""
    made = versions(Workspace(data, "shared", 1))
    assert made
    for one in made:
        assert data_files(one.path) == expected[stated(one)], one.version
    assert not list(data.rglob("*.tmp"))


def test_builds_at_once_end_in_what_each_makes_alone(processes: list[Builder], tmp_path: Path) -> None:
    paths = recipes(tmp_path)[1:]
    expected = alone(paths, tmp_path / "alone")
    data = tmp_path / "data"
    at_once(processes, paths, data, ["relabel", "run"])  # cold: Dagster's history is new, too
    assert {stated(one) for one in versions(Workspace(data, "shared", 1))} == set(expected)
    check(data, expected)


@pytest.mark.slow
def test_a_hundred_rounds_of_builds_at_once(processes: list[Builder], tmp_path: Path) -> None:
    third = Builder()
    assert third.answer() == {"ready": True}
    working = [*processes, third]
    paths = recipes(tmp_path, prompts=120)
    expected = alone(paths, tmp_path / "alone")
    draw, mixes = random.Random(7), list(itertools.product(HOWS, repeat=3))
    data = tmp_path / "data"
    for number in range(100):
        if number % 4 == 0:
            shutil.rmtree(data, ignore_errors=True)
        some = draw.sample(paths, draw.choice([2, 3]))
        at_once(working, some, data, list(draw.choice(mixes))[: len(some)])
        check(data, expected)
    third.process.kill()
    third.process.communicate()


def test_a_budget_holds_for_builds_from_two_sides(processes: list[Builder], tmp_path: Path) -> None:
    """The other's spending is read when its build is over, not when one's own process began."""
    with serving(App(Settings())) as url:
        paths = []
        for number, prompts in enumerate((10, 11)):
            write_jsonl(tmp_path / f"rows-{number}.jsonl", wide(prompts, first=100 * number))
            judge = {"kind": "llm-pairwise", "model": "m", "base_url": url}
            recipe = {
                "dataset": "shared",
                "prompts": {"source": f"rows-{number}.jsonl"},
                "judges": [judge],
                "shards": 1,
            }
            paths.append(tmp_path / f"{number}.yaml")
            paths[-1].write_text(json.dumps({**recipe, "budget": {"calls": 150}}))
        for first, second in (("build", "run"),):  # whichever comes first
            data = tmp_path / first
            for one, path, how in zip(processes, paths, (first, second), strict=False):
                one.begin(path, data, **HOWS[how])
            answers = [one.answer() for one in processes[:2]]
            assert sorted("done" in one for one in answers) == [False, True], answers
            (stopped,) = (one["error"] for one in answers if "error" in one)
            assert "budget.calls is 150" in stopped
            assert replies_in(data) <= 150


def replies_in(data: Path) -> int:
    return int(spending(["replies/*"], Workspace(data, "shared", 1)).item(0, "calls"))


def test_who_does_not_wait_is_told_who_builds_and_a_plan_goes_on(tmp_path: Path) -> None:
    paths = recipes(tmp_path, prompts=4)
    data = tmp_path / "data"
    task = {"recipe": str(paths[1]), "data": str(data)}
    held = building(Workspace(data, "shared", 2), "`pairwright build`", paths[0])
    with held, ThreadPoolExecutor(1) as pool:  # a thread of its own, which does not hold the lock
        told, planned = pool.map(builder.answer, [{**task, "how": "build"}, {**task, "how": "plan"}])
    assert told["error"].startswith(
        f"shared is in use by `pairwright build` (process {os.getpid()} on {os.uname().nodename}, since 20"
    )
    assert str(paths[0]) in told["error"] and "\n" not in told["error"]
    assert planned == {"done": "0"}
    assert [path.name for path in (data / "shared").iterdir()] == ["build.lock"], "a plan writes nothing"
