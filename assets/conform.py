"""From a source's columns to ours: every row becomes a conversation with its attributes and responses, or a reject.

Typed columns go through expressions; everything else row by row, with the same rules.
"""

from collections.abc import Sequence

import polars as pl

from pairwright.assets.columns import Columns
from pairwright.assets.conform_columns import by_column
from pairwright.assets.conform_rows import by_row
from pairwright.assets.readers import Records


def column_names(records: Records) -> list[str]:
    """The columns that a batch of records has."""
    if records.frame is not None:
        return [name for name in records.frame.columns if name != "_row"]
    names: dict[str, None] = {}
    for _, record, _ in records.objects:
        if isinstance(record, dict):
            names.update(dict.fromkeys(record))
    return list(names)


def conform(records: Records, columns: Columns) -> pl.DataFrame:
    """The records as a frame of type RAW."""
    if records.frame is None:
        return by_row(records.objects, columns)
    frame = records.frame
    if _typed(frame, columns):
        return by_column(frame, columns)
    frame = frame.select("_row", *_used(columns, frame.columns))
    objects = [(record.pop("_row"), record, None) for record in frame.to_dicts()]
    return by_row(objects, columns)


def _used(columns: Columns, there: Sequence[str]) -> list[str]:
    """The source's columns that something of ours is taken from."""
    used = {name for value in columns for name in ([value] if isinstance(value, str) else value or [])}
    used |= set(columns.texts.values())
    return [name for name in there if name in used]


def _typed(frame: pl.DataFrame, columns: Columns) -> bool:
    """Whether every column is of a type that expressions can take over as it is."""
    schema = frame.schema
    text, texts = {pl.String(), pl.Null()}, {pl.String(), pl.Null(), pl.List(pl.String), pl.List(pl.Null)}
    singles = [columns.system, columns.response, columns.policy, *columns.texts.values()]
    many = [*columns.references, *columns.tags]
    return (
        schema[columns.prompt] == pl.String
        and all(schema[name] in text for name in singles if name)
        and all(schema[name] in texts for name in many)
        and all(schema[name] in (texts if len(columns.responses) == 1 else text) for name in columns.responses)
        # two lists to zip: row by row
        and not columns.steps
        and not (isinstance(columns.policies, str) or (columns.policies and len(columns.responses) == 1))
    )
