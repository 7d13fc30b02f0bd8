"""A view of a data folder to plan in: links to its tables, in a scratch folder that takes what is written."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pairwright.assets.intake.source import GIVEN
from pairwright.assets.storage.media import FOLDER
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.files import file_state

PAID = ("replies", "samples", "domains", "verdicts", "likelihoods", FOLDER)
"""Folders of tables that cost something, and of media, which only ever grow."""
INTAKE = ("prompts", GIVEN, "responses", "intake.json", "rejects.parquet", "notices.parquet", "media.parquet")
"""What is made of the sources, and made anew when they change."""


class Snapshot(NamedTuple):
    """Where to work, and what must not change meanwhile."""

    workspace: Workspace
    linked: dict[Path, tuple[int, int]]

    def is_stale(self) -> bool:
        """Whether a build has replaced a table of the intake since."""
        return any(file_state(path) != state for path, state in self.linked.items())


@contextlib.contextmanager
def snapshot(workspace: Workspace, intake: bool = True) -> Iterator[Snapshot]:
    """The data folder as links: nothing that is written there, by renaming, changes the folder itself.

    Without `intake`, the tables made of the sources are left out, and are then made in the scratch folder. That is
    where the system keeps temporary files (TMPDIR), and is removed when the block ends.
    """
    with tempfile.TemporaryDirectory(prefix="pairwright-") as scratch:
        copy = workspace._replace(data=Path(scratch))
        linked: dict[Path, tuple[int, int]] = {}
        for path in workspace.data.resolve().glob("*"):
            if path.name != workspace.dataset and (path.is_file() or not path.name.startswith(".")):
                (copy.data / path.name).symlink_to(path)  # other data sets, to take over from
        root = workspace.root.resolve()
        for name in (*PAID, *INTAKE) if intake else PAID:
            for path in _files(root / name):
                _link(path, copy.root / path.relative_to(root))
                if path.suffix == ".arrows":  # into which the journal may go at any moment
                    table = path.with_name(path.name.split(".")[0] + ".parquet")
                    _link(table, copy.root / table.relative_to(root))
                if name in INTAKE:
                    linked[path] = file_state(path)
        yield Snapshot(copy, linked)


def _files(path: Path) -> list[Path]:
    """A file itself, or the files of a folder that are whole."""
    found = path.rglob("*") if path.is_dir() else [path]
    return [one for one in found if one.is_file() and not one.name.startswith(".") and one.suffix != ".lock"]


def _link(path: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(path)
