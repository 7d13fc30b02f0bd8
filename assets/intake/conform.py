"""From a source's columns to ours: every row becomes a conversation with its attributes and responses, or a reject.

Typed columns go through expressions; everything else row by row, with the same rules.
"""

import polars as pl

from pairwright.assets.intake.columns import Columns
from pairwright.assets.intake.conform_columns import by_column
from pairwright.assets.intake.conform_rows import by_row
from pairwright.assets.intake.records import Records
from pairwright.assets.intake.splits import known_split, unknown_split
from pairwright.schemas.content_parts import Keep, keep_nothing


def conform(records: Records, columns: Columns, keep: Keep = keep_nothing) -> pl.DataFrame:
    """The records as a frame of type RAW. `keep` stores what media the conversations hold."""
    raw = _conformed(records, columns, keep)
    if "split" not in columns.texts:
        return raw
    split = pl.col("split")
    return raw.with_columns(split=known_split(split), bad=pl.coalesce("bad", unknown_split(split)))


def _conformed(records: Records, columns: Columns, keep: Keep) -> pl.DataFrame:
    if records.frame is None:
        return by_row(records.objects, columns, keep)
    used = columns.used()
    frame = pl.DataFrame([column for column in records.frame.iter_columns() if column.name in used])
    if _typed(frame, columns):
        return by_column(frame, records.first, columns)
    objects = [(number, record, None) for number, record in enumerate(frame.to_dicts(), start=records.first)]
    return by_row(objects, columns, keep)


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
        # what is more than text
        and not (columns.tools or columns.media or columns.reasoning or columns.tool_calls)
        and not (isinstance(columns.policies, str) or (columns.policies and len(columns.responses) == 1))
    )
