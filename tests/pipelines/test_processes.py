"""Shards in several processes: the same bytes, errors at once, and no worker that outlives its parent."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import TESTS, all_files, image, recipe_of, wide, write_jsonl

from pairwright.assets.display.progress import Step, listening
from pairwright.assets.flow import flow
from pairwright.assets.intake import read_text, source_rows
from pairwright.assets.stages.run import Made, Run
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines import processes
from pairwright.pipelines.processes import Processes
from pairwright.pipelines.run import build
from pairwright.pipelines.worker import _portable
from pairwright.pipelines.worker_pool import _raised
from pairwright.schemas.errors import DamagedError, PairwrightError
from pairwright.schemas.recipe import Recipe

SHARDS = 4
HOLD = TESTS / "e2e" / "hold_workers.py"


def recipe(folder: Path) -> Recipe:
    """Of rows of which some are rejects, some disagree on their prompt, and some hold an image."""
    rows = wide(24)
    rows += [{**rows[3], "references": ["another one"]}, {**rows[20], "prompt": " "}, {**rows[9], "prompt": None}]
    (folder / "seen.png").write_bytes(image())
    typed = [{"type": "image", "image": "seen.png"}, {"type": "text", "text": "what is it?"}]
    rows += [{**wide(1, first=100 + i)[0], "prompt": [{"role": "user", "content": typed}]} for i in range(8)]
    write_jsonl(folder / "rows.jsonl", rows)
    return recipe_of(folder, "rows.jsonl", shards=SHARDS, judges=[{"kind": "bleu"}, {"kind": "length"}])


def written(folder: Path, rows: int) -> Path:
    """A recipe as a file."""
    write_jsonl(folder / "rows.jsonl", wide(rows))
    content = {"dataset": "tested", "prompts": {"source": "rows.jsonl"}, "shards": SHARDS, "judges": [{"kind": "bleu"}]}
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")  # which is YAML, too
    return path


def bring_up(one: Recipe, workspace: Workspace, workers: int) -> dict[str, Made]:
    with Processes(one, workspace, workers, least=0) as runner:
        made = {stage.name: stage.bring_up(workspace, run=Run(runner=runner)) for stage in flow(one)}
        assert len(runner.pool.workers) == (workers if workers > 1 else 0)
        return made


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


def test_the_same_bytes_however_many_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the intake, several batches at a time, the tables and the release."""
    monkeypatch.setattr(read_text, "BATCH", 5)
    monkeypatch.setattr(source_rows, "BATCH_BYTES", 1)
    one, files = recipe(tmp_path), []
    for workers in (1, 2):
        workspace = Workspace.of(one, tmp_path / f"data{workers}")
        steps: list[Step] = []
        with listening(steps.append):
            made = bring_up(one, workspace, workers)
        assert made["preferences"].files == SHARDS and made["release"].files
        assert {step.stage for step in steps} >= {"preferences", f"verdicts/bleu 2/{SHARDS}"}, "what workers tell, too"
        told = {name: content for name, content in all_files(workspace.root).items() if not name.endswith(".lock")}
        files.append({name: content for name, content in told.items() if "manifest" not in name})
    assert {"rejects.parquet", "notices.parquet", "media.parquet"} <= {Path(name).name for name in files[0]}
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


@pytest.mark.slow
def test_an_error_of_a_worker_is_raised_as_it_is(tmp_path: Path) -> None:
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
        assert caught.value.path == path and not runner.pool.workers, "the others were ended"


@pytest.mark.parametrize("error", [DamagedError(Path("x.parquet"), "torn"), OSError(28, "full"), KeyError("none")])
def test_an_error_is_the_same_in_another_process(error: Exception) -> None:
    told = _raised(_portable(error))
    assert (type(told), told.args, vars(told).get("path")) == (type(error), error.args, vars(error).get("path"))


def test_calls_come_in_their_order_and_a_dead_worker_is_named(tmp_path: Path) -> None:
    one = recipe(tmp_path)
    workspace = Workspace.of(one, tmp_path / "data")
    with Processes(one, workspace, 2, least=0) as runner:
        assert list(runner.calls("quotient", divmod, ((n, 3) for n in range(9)))) == [divmod(n, 3) for n in range(9)]
        pids = [worker.process.pid for worker in runner.pool.workers]
        with pytest.raises(PairwrightError, match="made its end 1, was ended by SIGKILL"):
            list(runner.calls("its end", signal.raise_signal, [(signal.SIGKILL,)]))
        assert ended(pids) and not runner.pool.workers


SLEEP = "import sys, time; time.sleep(float(sys.argv[1])); sys.exit(int(sys.argv[2]))"


@pytest.mark.slow
def test_the_first_error_of_calls_is_raised_when_all_before_it_were_given(tmp_path: Path) -> None:
    one = recipe(tmp_path)
    commands = [([sys.executable, "-c", SLEEP, *one],) for one in (("0.2", "0"), ("0.6", "3"), ("0", "4"))]

    def numbers() -> Iterator[tuple[str]]:
        yield from (("1",), ("2",))
        raise DamagedError(tmp_path, "no more of it")

    with Processes(one, Workspace.of(one, tmp_path / "data"), 2, least=0) as runner:
        for every, function, given, error in (
            (commands, subprocess.check_call, [0], "exit status 3"),
            (numbers(), int, [1, 2], "no more of it"),
        ):
            made = list[object]()
            with pytest.raises(Exception, match=error):
                made.extend(runner.calls("number", function, every))
            assert made == given and not runner.pool.workers


def test_nothing_is_started_for_what_is_current_or_little(tmp_path: Path) -> None:
    one = recipe(tmp_path)
    workspace = Workspace.of(one, tmp_path / "data")
    with Processes(one, workspace, 2) as runner:
        for _ in range(2):
            for stage in flow(one):
                stage.bring_up(workspace, run=Run(runner=runner))
            assert not runner.pool.workers
            runner._least = 0


def test_a_parent_that_is_ended_leaves_no_worker(tmp_path: Path) -> None:
    path, pids = written(tmp_path, rows=4), list[int]()
    signals = (signal.SIGKILL, signal.SIGINT)
    with contextlib.ExitStack() as ends:
        command = [sys.executable, str(HOLD), str(path)]
        parents = [
            ends.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
            for _ in signals
        ]
        for parent, number in zip(parents, signals, strict=True):
            assert parent.stdout is not None
            own = [int(pid) for pid in parent.stdout.readline().split()]
            assert len(own) == 2 and all(map(alive, own))
            parent.send_signal(number)
            pids += own
    assert ended(pids)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_ended_leaves_no_worker(number: signal.Signals, tmp_path: Path) -> None:
    path = written(tmp_path, rows=30_000)
    command = [sys.executable, "-m", "pairwright", "build", str(path), "--data", str(tmp_path / "d"), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        pids = list[int]()
        while len(pids) < 2 and parent.poll() is None:
            time.sleep(0.05)
            pids = [pid for pid in children(parent.pid) if b"spawn_main" in cmdline(pid)]
        time.sleep(1)
        assert parent.poll() is None and len(pids) == 2
        parent.send_signal(number)
        assert parent.wait(30) != 0
    assert ended(pids)


def children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
