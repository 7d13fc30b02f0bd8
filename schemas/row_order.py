"""What the order of a table's rows shows at a glance, where joins, sorts and looks for duplicates would cost more."""

from collections.abc import Sequence

import polars as pl


def ascends(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether every row's key is greater than the one before it: then the rows are sorted by it, and no two share one.

    False as well where a key holds a null, of which that cannot be said.
    """
    at: pl.Series | None = None  # rows whose key equals the one before, as far as was looked
    for name in key:
        column = frame.get_column(name)
        if column.null_count():
            return False
        now, before = (column.slice(1), column.head(-1)) if at is None else (column.gather(at), column.gather(at - 1))
        if (now < before).any():
            return False
        ties = (now == before).arg_true()
        if ties.is_empty():
            return True
        at = ties + 1 if at is None else at.gather(ties)
    return frame.height < 2


def same_rows(one: pl.DataFrame, other: pl.DataFrame, columns: Sequence[str]) -> bool:
    """Whether two frames say the same in these columns, row by row, so that a join on them may go by position."""
    return one.height == other.height and one.select(columns).equals(other.select(columns))
