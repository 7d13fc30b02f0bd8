"""A release out of its shards: in any order, by any worker, killed at any step, always the same bytes."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import all_files, build, data_files, recipe_of, wide, write_jsonl

from pairwright.assets.releasing import release_rows
from pairwright.assets.releasing.release import release, release_basis
from pairwright.assets.releasing.release_parts import read_part, write_part
from pairwright.assets.releasing.release_rows import Piece, shard_rows
from pairwright.assets.releasing.versions import damage, latest
from pairwright.assets.stages.basis import Inputs
from pairwright.assets.storage import split_writer
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.schemas import files
from pairwright.schemas.errors import StoreError
from pairwright.schemas.recipe import Recipe

PARTS: dict[str, Any] = {"release": {"test_fraction": 0.3}, "pairs": {"strategy": "all"}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A recipe of three shards, and a data directory with its first version."""
    folder = tmp_path_factory.mktemp("parts")
    write_jsonl(folder / "rows.jsonl", wide(30))
    recipe = recipe_of(folder, "rows.jsonl", shards=3, **PARTS)
    build(recipe, folder / "data")
    return recipe, folder / "data"


def backwards(recipe: Recipe, inputs: Inputs, optional: Sequence[str], folder: Path) -> Iterator[Iterable[Piece]]:
    """Parts that other workers made, the last one first."""
    shards = list(inputs.each_shard())
    for shard in reversed(shards):
        alone = release_basis(recipe).reading(inputs, None)
        write_part(recipe, alone, shard, optional, folder / shard.name)
    return (read_part(folder / shard.name) for shard in shards)


def test_parts_that_workers_made_in_any_order_give_the_bytes_of_one_process(
    built: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_rows, "PIECE", 7)
    recipe, data = built
    workspace = Workspace.of(recipe, Path(shutil.copytree(data, tmp_path / "data")))
    before = all_files(workspace.releases)
    shutil.rmtree(workspace.releases)
    made = release(recipe, workspace, backwards)
    assert all_files(workspace.releases) == before
    assert all(one.passed for one in made.checks if one.stops)


def test_a_part_that_is_not_whole_is_no_part(built: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, data = built
    inputs = release_basis(recipe).reading(Workspace.of(recipe, data), None)
    write_part(recipe, inputs, Shard(1, 3), [], tmp_path / "part")
    (tmp_path / "part" / "part.json").unlink()
    with pytest.raises(StoreError, match="holds no whole part of a release"):
        list(read_part(tmp_path / "part"))


def test_rows_of_a_shard_are_read_from_its_own_files_and_fits(built: tuple[Recipe, Path], tmp_path: Path) -> None:
    """What a shard holds in memory does not grow with the others, which may not even be there."""
    recipe, data = built
    workspace = Workspace.of(recipe, Path(shutil.copytree(data, tmp_path / "data")))
    shard = Shard(1, 3)
    for path in workspace.root.glob("*/*-of-00003.parquet"):
        if path.name != f"{shard.name}.parquet":
            path.unlink()
    inputs = release_basis(recipe).reading(workspace, None)
    found = list(shard_rows(recipe, inputs, shard, []))
    assert {piece.table for piece in found} == {"pairs", "rankings"}
    assert all(piece.tally.without_text == piece.tally.same == 0 for piece in found)


@pytest.mark.parametrize("shards", [1, 8])
def test_shard_count_changes_neither_bytes_nor_checks(built: tuple[Recipe, Path], tmp_path: Path, shards: int) -> None:
    recipe, data = built
    three = latest(Workspace.of(recipe, data))
    assert three is not None
    write_jsonl(tmp_path / "rows.jsonl", wide(30))
    other = build(recipe_of(tmp_path, "rows.jsonl", shards=shards, **PARTS), tmp_path / "data")
    assert data_files(other.path) == data_files(three.path)
    assert other.manifest["digest"] == three.manifest["digest"]
    assert other.manifest["checks"] == three.manifest["checks"]


class Killed(BaseException):
    """In place of a signal, so that the process that runs the tests lives on."""


class Killing:
    """Kills before the n-th step that writes; from then on nothing is cleared away, as by a process that is gone."""

    STEPS: tuple[tuple[Any, str], ...] = (
        (split_writer._SplitFile, "write"),
        (split_writer._SplitFile, "close"),
        (files, "sync"),
        (Path, "mkdir"),
        (Path, "write_text"),
        (Path, "rename"),
        (Path, "replace"),
    )

    def __init__(self, patch: pytest.MonkeyPatch, moment: int) -> None:
        self.left, self.dead = moment, False
        for owner, name in self.STEPS:
            patch.setattr(owner, name, self._counted(getattr(owner, name)))
        for owner, name in ((files, "_remove"), (Path, "unlink")):
            patch.setattr(owner, name, self._alive(getattr(owner, name)))

    def _counted(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.dead = self.dead or self.left == 0
            if self.dead:
                raise Killed
            self.left -= 1
            return step(*arguments, **options)

        return counted

    def _alive(self, step: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **options: None if self.dead else step(*arguments, **options)


def killed_at(
    moment: int, recipe: Recipe, workspace: Workspace, whole: dict[str, bytes], patch: pytest.MonkeyPatch
) -> bool:
    """Whether there was such a step; checked is what lies there then, and after the next build."""
    with patch.context() as patched:
        killing = Killing(patched, moment)
        with contextlib.suppress(Killed):
            release(recipe, workspace)
    visible = latest(workspace)
    if visible is not None:
        assert not damage(visible)
        assert all_files(visible.path) == {name[3:]: one for name, one in whole.items() if name.startswith("v1/")}
    release(recipe, workspace)
    assert all_files(workspace.releases) == whole, f"killed before step {moment}"
    return killing.dead


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_between_any_two_steps_nothing_is_half_visible_and_the_next_build_makes_the_same_bytes(
    built: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    recipe, data = built
    workspace = Workspace.of(recipe, Path(shutil.copytree(data, tmp_path / "data")))
    whole = all_files(workspace.releases)
    moment = 0
    while True:
        shutil.rmtree(workspace.releases)
        if not killed_at(moment, recipe, workspace, whole, monkeypatch):
            break
        moment += every
    assert moment > 12, "there are as many steps as files are written"
