"""What the readers hand out: the records of one part of a source, typed or one by one."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.display.text import shown
from pairwright.schemas.errors import PairwrightError, SourceError

BATCH = 16_384
"""Rows read at a time."""
BATCH_BYTES = 32 << 20
"""About what they may take; fewer are read where they are large, as rows with images are."""


class Records(NamedTuple):
    """Some rows of one part of a source."""

    part: str
    """File or data set that the rows come from, as the recipe writes it."""
    frame: pl.DataFrame | None
    """Typed columns, where the source has types that polars can hold."""
    objects: list[tuple[int, Any, str | None]]
    """(row, record, reason why it is none), where it has not."""
    first: int = 0
    """Number of the frame's first row; sources count from 1."""

    @property
    def size(self) -> int:
        """Bytes in memory, about; of records one by one, what a batch of them may have."""
        return BATCH_BYTES if self.frame is None else int(self.frame.estimated_size())


class Part(NamedTuple):
    """One file or data set of a source."""

    label: str
    names: list[str]
    """Its columns; none where it has no record with named fields."""
    records: Callable[[Collection[str] | None], Iterator[Records]]
    """Its rows, in order; given names, with no more than those columns. To be asked once."""
    folder: Path | None = None
    """Where paths in its rows start, and which they may not leave; None where there is none."""


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Whatever a library raises on content that it cannot read, as one line that begins with `what`.

    A panic of polars is no Exception, which is why it is named.
    """
    try:
        yield
    except PairwrightError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise SourceError(f"{what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return shown(" ".join(str(error).split()) or type(error).__name__, 300)
