"""Repairs: what is damaged and costs nothing is taken away, so that the stage that makes it makes it again."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pairwright.assets.storage import integrity
from pairwright.assets.storage.store import DERIVED
from pairwright.schemas.errors import DamagedError

_Done = TypeVar("_Done")


def mended(root: Path, work: Callable[[], _Done]) -> _Done:
    """Do some work on a data set; where a table that costs nothing is damaged, once more after such were taken away."""
    try:
        return work()
    except DamagedError:
        if not take_away_damaged(root):
            raise
        return work()


def take_away_damaged(root: Path) -> list[Path]:
    """Remove the damaged files of a data set that cost nothing to make again; which there were."""
    files = [*root.glob("*.parquet"), *(path for table in DERIVED for path in root.glob(f"{table}/*.parquet"))]
    found = []
    for path in sorted(files):
        try:
            integrity.verify(path)
        except (DamagedError, FileNotFoundError):
            if path.is_file():
                path.unlink(missing_ok=True)
                logging.getLogger("pairwright").warning("%s was damaged and is made again", path)
                found.append(path)
    return found
