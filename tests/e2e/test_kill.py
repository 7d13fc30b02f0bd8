"""A build that is killed again and again ends in the very release of one left alone, and pays for nothing twice."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
from helpers import all_files, build, calls, wide, write_jsonl

from pairwright.schemas.reading import load_recipe

DRIVER = Path(__file__).with_name("resume.py")
BATCH = 64


def write_recipe(folder: Path, prompts: int, log: Path) -> Path:
    write_jsonl(folder / "rows.jsonl", wide(prompts))
    recipe = {
        "dataset": "killed",
        "prompts": {"source": "rows.jsonl"},
        "shards": 4,
        "judges": [
            {"kind": "test-counting", "log": str(log), "batch": BATCH, "values": 7},
            {"kind": "bleu"},
        ],
        "pairs": {"strategy": "best-vs-random", "seed": 3},
        "filters": [{"kind": "margin", "keep_fraction": 0.9}, {"kind": "near-identical"}],
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    return path


def start(recipe: Path, data: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(DRIVER), str(recipe), str(data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def last_batches(log: Path) -> dict[str, set[str]]:
    """Of each process, the responses of the batch that it had in flight when it ended."""
    found: dict[str, set[str]] = {}
    for line in log.read_text().splitlines():
        process, _, *identifiers = line.split()
        found[process] = set(identifiers)
    return found


def judged_by(log: Path) -> dict[str, list[str]]:
    """The processes that judged each response, in order."""
    found = defaultdict(list)
    for line in log.read_text().splitlines():
        process, _, *identifiers = line.split()
        for identifier in identifiers:
            found[identifier].append(process)
    return found


def check_round(undisturbed: Path, data: Path, log: Path, expected: set[str]) -> int:
    """The release is the undisturbed one, and only what was in flight was judged twice; how many that were."""
    releases = data / "killed" / "releases"
    assert [path.name for path in releases.glob("v*")] == ["v1"]
    assert all_files(releases / "v1") == all_files(undisturbed)
    assert not list(data.rglob("*.tmp")), "nothing half-written is left"
    in_flight = last_batches(log)
    judged = judged_by(log)
    assert set(judged) == expected
    for identifier, processes in judged.items():
        for process in processes[:-1]:
            assert identifier in in_flight[process], "a verdict that was not in flight was computed twice"
    return sum(len(processes) - 1 for processes in judged.values())


def killed_and_resumed(tmp_path: Path, prompts: int, kills: int, seed: int) -> dict[str, int]:
    """Kill a build at random moments and resume it until it is done; begin anew until there were enough kills."""
    log = tmp_path / "log"
    recipe = write_recipe(tmp_path, prompts, log)
    began = time.monotonic()
    undisturbed = build(load_recipe(recipe), tmp_path / "alone")
    whole = time.monotonic() - began
    expected = set(calls(log))
    assert len(expected) == calls(log).total() == prompts * 4
    moments = random.Random(seed)
    landed = rounds = twice = 0
    while landed < kills:
        log.unlink()
        data = tmp_path / f"data-{rounds}"
        done = False
        while not done:
            process = start(recipe, data)
            try:
                # mostly early, so that one build is killed several times, and now and then as late as can be
                limit = moments.uniform(0, whole * moments.choice([0.3, 0.6, 1.2])) if landed < kills else None
                process.wait(timeout=limit)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                landed += 1
            else:
                finish(process)
                done = True
        twice += check_round(undisturbed.path, data, log, expected)
        rounds += 1
    return {"kills": landed, "rounds": rounds, "verdicts of a round": len(expected), "computed twice": twice}


def test_kill_and_resume_gives_the_same_bytes_and_repeats_only_what_was_in_flight(tmp_path: Path) -> None:
    assert killed_and_resumed(tmp_path, prompts=2_000, kills=8, seed=1)["kills"] == 8


@pytest.mark.slow
def test_kill_twenty_thousand_prompts_fifty_times(tmp_path: Path) -> None:
    figures = killed_and_resumed(tmp_path, prompts=20_000, kills=50, seed=2)
    print(figures)  # what a run by hand is for
    assert figures["kills"] == 50
