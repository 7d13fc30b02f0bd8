"""Shards in several processes: the same bytes, errors at once, and no worker that outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import TESTS, all_files, recipe_of, wide, write_jsonl

from pairwright.assets.display.progress import Step, listening
from pairwright.assets.flow import flow
from pairwright.assets.stages.run import Made, Run
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines import processes
from pairwright.pipelines.processes import Processes
from pairwright.pipelines.run import build
from pairwright.schemas.errors import DamagedError, PairwrightError
from pairwright.schemas.recipe import Recipe

SHARDS = 4
HOLD = TESTS / "e2e" / "hold_workers.py"


def recipe(folder: Path) -> Recipe:
    write_jsonl(folder / "rows.jsonl", wide(24))
    return recipe_of(folder, "rows.jsonl", shards=SHARDS, judges=[{"kind": "bleu"}, {"kind": "length"}])


def bring_up(one: Recipe, workspace: Workspace, workers: int) -> dict[str, Made]:
    with Processes(one, workspace, workers, least=0) as runner:
        return {stage.name: stage.bring_up(workspace, run=Run(runner=runner)) for stage in flow(one)}


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def ended(pids: list[int]) -> bool:
    end = time.monotonic() + 60
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_the_same_bytes_however_many_workers(tmp_path: Path) -> None:
    one, files = recipe(tmp_path), []
    for workers in (1, 3):
        workspace = Workspace.of(one, tmp_path / f"data{workers}")
        steps: list[Step] = []
        with listening(steps.append):
            made = bring_up(one, workspace, workers)
        assert made["preferences"].files == SHARDS and made["verdicts/bleu"].rows == 96
        assert {step.stage for step in steps} >= {"preferences", f"verdicts/bleu 2/{SHARDS}"}, "what workers tell, too"
        told = {name: content for name, content in all_files(workspace.root).items() if not name.endswith(".lock")}
        files.append({name: content for name, content in told.items() if "manifest" not in name})
    assert files[0].keys() == files[1].keys()
    assert [name for name, content in files[0].items() if content != files[1][name]] == []


@pytest.mark.slow
def test_a_release_and_all_tables_are_the_same_however_many_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LEAST", 0)
    one, digests, tables = recipe(tmp_path), [], []
    for workers in (1, 2, 3):
        data = tmp_path / f"data{workers}"
        digests.append(build(one, data, workers=workers).manifest["digest"])
        found = all_files(data / one.dataset).items()
        tables.append({name: content for name, content in found if name.endswith(".parquet")})
    assert len(set(digests)) == 1 and tables[0] == tables[1] == tables[2]


def test_errors_of_workers_are_raised_as_they_are_and_dead_ones_are_named(tmp_path: Path) -> None:
    one = recipe(tmp_path)
    workspace = Workspace.of(one, tmp_path / "data")
    bring_up(one, workspace, 1)
    stages = {stage.name: stage for stage in flow(one)}
    path = sorted((workspace.root / "verdicts").glob("length-*/*.parquet"))[2]
    whole = path.read_bytes()
    for preferences in (workspace.root / "preferences").glob("*.parquet"):
        preferences.unlink()
    path.write_bytes(whole[:200] + b"\xff" * 40 + whole[240:])
    with Processes(one, workspace, 2, least=0) as runner:
        with pytest.raises(DamagedError) as caught:
            stages["preferences"].bring_up(workspace, run=Run(runner=runner))
        assert caught.value.path == path and not runner._workers, "the others were ended"
        path.write_bytes(whole)
        runner._started(2)
        pids = [worker.process.pid for worker in runner._workers]
        os.kill(pids[1], signal.SIGKILL)
        with pytest.raises(PairwrightError, match=rf"made preferences, shard \d of {SHARDS}, was ended by SIGKILL"):
            stages["preferences"].bring_up(workspace, run=Run(runner=runner))
        assert ended(pids)
        made = stages["preferences"].bring_up(workspace, run=Run(runner=runner))
        assert 0 < made.files <= SHARDS, "and the next try goes on"


def test_nothing_is_started_for_what_is_current_or_little(tmp_path: Path) -> None:
    one = recipe(tmp_path)
    workspace = Workspace.of(one, tmp_path / "data")
    with Processes(one, workspace, 2) as runner:
        for _ in range(2):
            for stage in flow(one):
                stage.bring_up(workspace, run=Run(runner=runner))
            assert not runner._workers
            runner._least = 0


def test_a_killed_parent_leaves_no_worker(tmp_path: Path) -> None:
    recipe(tmp_path)
    command = [sys.executable, str(HOLD), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(map(alive, pids))
        parent.kill()
    assert ended(pids)
