"""The interface of a pair column: what it reads, and its value for each pair of a release."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import polars as pl

from pairwright.schemas.errors import PairwrightError, RecipeError, nearest
from pairwright.schemas.kinds import Kind
from pairwright.schemas.tables import Pairs, Preferences, Prompts, Responses

READABLE = {"pairs": Pairs, "prompts": Prompts, "responses": Responses, "preferences": Preferences}
"""The tables that a column may read, all of which a release reads anyway."""
OF_A_SIDE = ("responses", "preferences")
"""Those that have a row a side: their columns are handed over as `chosen_…` and `rejected_…`."""


class PairColumn(Kind, family="column"):
    """Adds a column, called by its name with underscores, to the pairs of every version. Those that it is not in keep
    their rows; a column that is added or changed makes a new version. A number that should also decide which pairs stay
    is a filter's value."""

    reads: ClassVar[tuple[str, ...]]
    """What it reads, as TABLE.COLUMN, and is handed, and nothing else: `pairs` and `prompts` under the column's name,
    `responses` and `preferences` as `chosen_COLUMN` and `rejected_COLUMN`."""
    dtype: ClassVar[Any]
    """polars type of its values."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        for one in getattr(cls, "reads", ()):
            _refuse_unknown(cls.__name__, one)
        super().__pydantic_init_subclass__(**kwargs)

    @abstractmethod
    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """One value a pair, in the order of `pairs`, from its row alone: what else is in the frame changes with sizes
        of shards and pieces."""

    @property
    def column(self) -> str:
        """What the column is called."""
        return self.name.replace("-", "_")

    def of(self, rows: pl.DataFrame) -> pl.Series:
        """The column, from a frame that has what it reads.

        Raises PairwrightError, in one line, where there is not one value a pair or one is not of its type.
        """
        found = self.value(rows.select(handed(self.reads)))
        if found.len() != rows.height:
            raise PairwrightError(
                f"column {self.name}: {found.len()} values for {rows.height} pairs, one is wanted for each"
            )
        try:
            return found.cast(self.dtype).alias(self.column)
        except pl.exceptions.PolarsError as error:
            why = " ".join(str(error).split())
            raise PairwrightError(f"column {self.name}: its values are not all {self.dtype}: {why}") from None


def read_of(columns: Sequence[PairColumn], table: str) -> list[str]:
    """What some columns read of a table, each once."""
    pairs = [one.partition(".") for column in columns for one in column.reads]
    return list(dict.fromkeys(name for of, _, name in pairs if of == table))


def handed(reads: Sequence[str]) -> list[str]:
    """What the columns of a `reads` are called in the frame that is handed over."""
    names = []
    for table, _, name in (one.partition(".") for one in reads):
        names += [f"{side}_{name}" for side in ("chosen", "rejected")] if table in OF_A_SIDE else [name]
    return list(dict.fromkeys(names))


def _refuse_unknown(column: str, told: str) -> None:
    """Raises RecipeError for what is no TABLE.COLUMN that can be read."""
    table, _, name = told.partition(".")
    known = [f"{table}.{one}" for table, schema in READABLE.items() for one in schema.column_names()]
    if told not in known and not (table == "pairs" and name.startswith("filter_")):
        raise RecipeError(
            f"{column}.reads names {told!r}, which is no TABLE.COLUMN of {', '.join(READABLE)}{nearest(told, known)}"
        )
