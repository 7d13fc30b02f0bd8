"""Exports appear whole or not at all, and every refusal is one clear line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import release_folder as hand
from click.testing import CliRunner
from helpers import TESTS, recipe_of

from pairwright.assets.publishing.export import export, format_named
from pairwright.export_command import export as command
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.files import scratch_folder


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


def test_an_unknown_format_lists_the_valid_ones() -> None:
    with pytest.raises(
        PairwrightError, match=r"'tlr' is not known \(did you mean 'trl'\?\); allowed: axolotl, .*trl, .*ultrafeedback"
    ):
        format_named("tlr")
    with pytest.raises(PairwrightError, match="tulu has no plain variant"):
        format_named("tulu", plain=True)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("dpo", "trl"),
        ("SimPO", "trl"),
        ("orpo", "trl"),
        ("bco", "kto"),
        ("rm", "trl-implicit"),
        ("reward_model", "trl-implicit"),
        ("sft", "ultrafeedback"),
        ("prm", "trl-stepwise"),
        ("listwise", "ranking"),
    ],
)
def test_a_format_that_is_called_by_its_objective_names_the_one_that_is_meant(word: str, meant: str) -> None:
    with pytest.raises(PairwrightError, match=rf"'{word}' is not known \(did you mean '{meant}'\?\); allowed: "):
        format_named(word)
    with pytest.raises(PairwrightError, match=rf"formats\[0\].* is not known \(did you mean '{meant}'\?\); allowed: "):
        recipe_of(Path(), "x.jsonl", release={"formats": [{"kind": word}]})


def test_a_second_export_leaves_the_first_as_it_is_and_another_release_replaces_it(tmp_path: Path) -> None:
    made, out = hand.make(tmp_path / "v1"), tmp_path / "out"
    assert export(made, format_named("trl"), out).fresh
    before = (out / "train.parquet").stat().st_mtime_ns
    assert not export(made, format_named("trl"), out).fresh
    assert (out / "train.parquet").stat().st_mtime_ns == before
    assert export(made, format_named("axolotl"), out).fresh
    assert not (out / "train.parquet").exists()
    assert not leftovers(tmp_path)


def test_the_same_release_gives_the_same_bytes(tmp_path: Path) -> None:
    made = hand.make(tmp_path / "v1")
    for kind in ("trl", "nemo-rl", "kto"):
        first, second = (export(made, format_named(kind), tmp_path / f"{kind}-{i}").path for i in (1, 2))
        for path in first.iterdir():
            assert path.read_bytes() == (second / path.name).read_bytes()


def test_a_folder_with_something_else_in_it_is_not_touched(tmp_path: Path) -> None:
    made, out = hand.make(tmp_path / "v1"), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="already holds something"):
        export(made, format_named("trl"), out)
    assert (out / "thesis.txt").read_text() == "mine" and not leftovers(tmp_path)


def test_a_damaged_stamp_is_told(tmp_path: Path) -> None:
    made, out = hand.make(tmp_path / "v1"), tmp_path / "out"
    export(made, format_named("trl"), out)
    (out / "export.json").write_text("{")
    with pytest.raises(StoreError, match=r"export\.json is damaged .*; remove .*out, and export again"):
        export(made, format_named("trl"), out)


def test_a_damaged_release_has_no_export(tmp_path: Path) -> None:
    made = hand.make(tmp_path / "v1")
    for damage in (lambda path: path.write_bytes(path.read_bytes()[:100]), Path.unlink):
        for path in sorted((made.path / "pairs").iterdir()):
            damage(path)
        with pytest.raises(StoreError):
            export(made, format_named("trl"), tmp_path / "out")
        assert not (tmp_path / "out").exists() and not leftovers(tmp_path)


def test_a_release_without_steps_has_no_stepwise_export(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="reads steps, step_labels, which hand v1 does not have"):
        export(hand.make(tmp_path / "v1"), format_named("trl-stepwise"), tmp_path / "out")
    assert not (tmp_path / "out").exists() and not leftovers(tmp_path)


def test_the_command_finds_a_release_by_folder_and_by_name(tmp_path: Path) -> None:
    hand.make(tmp_path / "data" / "hand" / "releases" / "v1")
    folder = str(tmp_path / "data" / "hand" / "releases" / "v1")
    for name, out in ((folder, "a"), ("hand/v1", "b"), ("hand", "c")):
        arguments = [name, "--format", "openrlhf", "--out", str(tmp_path / out), "--data", str(tmp_path / "data")]
        done = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert done.exit_code == 0 and done.output.splitlines()[-1] == str(tmp_path / out)
        assert "train.jsonl: 10 rows" in done.output and "not in this format: rankings" in done.output
    done = CliRunner().invoke(command, ["hand/v9", "--format", "trl", "--out", "d", "--data", str(tmp_path / "data")])
    assert isinstance(done.exception, StoreError) and "there are: v1" in str(done.exception)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
@pytest.mark.parametrize("kind", ["trl", "axolotl"])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    made, small = hand.make(tmp_path / "v1"), tmp_path / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=False, capture_output=True
    ).returncode:
        pytest.skip("this system does not let us mount a file system")
    try:
        (small / "ballast").write_bytes(b"x" * 60_000)
        with pytest.raises(StoreError, match=r"failed and left nothing there: .*[Nn]o space left"):
            export(made, format_named(kind), small / "out")
        assert [path.name for path in small.iterdir()] == ["ballast"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_export_leaves_one_alone_that_goes_on_beside_it(tmp_path: Path) -> None:
    made = hand.make(tmp_path / "v1")
    with scratch_folder(tmp_path / "out.kto") as one, scratch_folder(tmp_path / "out") as other:
        (one / "train.jsonl").touch()
        (other / "train.jsonl").touch()
        export(made, format_named("trl"), tmp_path / "out")
        assert (one / "train.jsonl").exists() and (other / "train.jsonl").exists()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_export_leaves_nothing_and_the_next_one_cleans_up(tmp_path: Path, blow: signal.Signals) -> None:
    made = hand.make(tmp_path / "v1")
    code = (
        "import time\nfrom pathlib import Path\nimport release_folder as hand\n"
        "from pairwright.assets.publishing import export as module\n"
        "from pairwright.assets.releasing.versions import resolve\n"
        "from pairwright.schemas import files\n"
        "files.sync = lambda path: (print('written', flush=True), time.sleep(60))\n"
        f"made, out = resolve(Path(), {str(made.path)!r}), Path({str(tmp_path / 'out')!r})\n"
        "module.export(made, module.format_named('trl'), out)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells have background jobs ignore it
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    assert child.stdout is not None and child.stdout.readline() == b"written\n"
    child.send_signal(blow)
    assert child.wait(timeout=30) != 0
    child.stdout.close()
    assert not (tmp_path / "out").exists()
    assert bool(leftovers(tmp_path)) == (blow == signal.SIGKILL)
    assert export(made, format_named("trl"), tmp_path / "out").fresh
    assert not leftovers(tmp_path)


def test_a_file_without_rows_is_no_file_and_an_export_without_rows_is_none(tmp_path: Path) -> None:
    """Readers stop at an empty file."""
    rows = hand.pairs()
    talk = [row for row in rows if len(row["prompt"]) > 2]
    some = hand.make(tmp_path / "some", [*rows[2:4], {**talk[0], "split": "test"}])
    done = export(some, format_named("llamafactory-alpaca"), tmp_path / "out")
    assert list(done.stamp["files"]) == ["train.jsonl"] and done.stamp["left_out"] == {"test": 1, "train": 0}
    assert sorted(path.name for path in done.path.iterdir()) == [
        "README.md",
        "dataset_info.json",
        "export.json",
        "train.jsonl",
    ]
    with pytest.raises(StoreError, match="hand v1 has no row that llamafactory-alpaca can hold; not in this format"):
        export(hand.make(tmp_path / "none", talk), format_named("llamafactory-alpaca"), tmp_path / "other")
    assert not (tmp_path / "other").exists() and not leftovers(tmp_path)
