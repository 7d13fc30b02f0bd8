"""Typed columns of pairs to ours, by expressions; the rules are those of `labelled_rows`, a row at a time."""

import polars as pl

from pairwright.assets.intake.conform import conform
from pairwright.assets.intake.label_shape import LabelledColumns
from pairwright.assets.intake.label_values import WINS, WORDS
from pairwright.assets.intake.labelled_rows import POLICIES, PROMPT, RESPONSES
from pairwright.assets.intake.records import Records
from pairwright.assets.intake.shapes import LABEL, Shape
from pairwright.schemas.content_parts import Keep, keep_nothing

TAGGED = "\n\nHuman:"
"""How a text begins that is a conversation."""
FIRST, SECOND = "\0first", "\0second"
"""Names for the sides that no source has for anything else of ours."""
Found = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def by_columns(records: Records, columns: LabelledColumns, keep: Keep = keep_nothing) -> Found | None:
    """Rows, votes and scores of pairs whose prompt and sides are columns of plain texts; None for anything else."""
    shape, frame = columns.shape, records.frame
    if frame is None or not shape.sides or not _plain(frame, shape):
        return None
    at = {name: f"c{position}" for position, name in enumerate(frame.columns)}  # a name may be a pattern to polars
    own = frame.rename(at)
    first, second = (pl.col(at[name]) for name in shape.sides)
    votes = _votes(own, records.first, shape, at)
    if votes is None:
        return None
    absent = [
        pl.when(pl.col(at[name]).is_null()).then(pl.lit(f"{name} is missing"))
        for name in (shape.prompt, *shape.sides)
        if name
    ]
    bad = own.select(
        bad=pl.coalesce(*absent, pl.when(first == second).then(pl.lit("both responses are the same text")))
    )
    used = columns.columns.used() - {PROMPT, RESPONSES, POLICIES}
    rest = [one for one in frame.iter_columns() if one.name in used and one.name not in shape.columns()]
    texts = own.select(first.alias(FIRST), second.alias(SECOND), pl.col(at[str(shape.prompt)]).alias(PROMPT))
    form = pl.DataFrame([*rest, *texts.iter_columns()])
    wide = columns.columns._replace(responses=[FIRST, SECOND], policies=["unknown", "unknown"])
    raw = conform(records._replace(frame=form), wide, keep)
    raw = raw.with_columns(bad=pl.coalesce(bad.get_column("bad"), "bad"))
    return raw, votes, _scores(own, records.first, shape, at)


def _plain(frame: pl.DataFrame, shape: Shape) -> bool:
    """Whether everything is text or number, and no text is a conversation."""
    schema = frame.schema
    if shape.prompt is None or shape.writers or shape.tie or not shape.sides:
        return False
    texts = [shape.prompt, *shape.sides]
    labels = [name for name in (shape.label, shape.annotator) if name and not (shape.chosen and name == shape.label)]
    numbers = [name for names in shape.scores.values() for name in names]
    if any(schema[name] != pl.String for name in texts):
        return False
    if any(not (schema[name] == pl.String or schema[name].is_integer()) for name in labels):
        return False
    if any(len(names) != 2 for names in shape.scores.values()) or not all(
        schema[name].is_numeric() for name in numbers
    ):
        return False
    tagged = [frame.get_column(name).str.starts_with(TAGGED).any() for name in texts]
    return not any(tagged)


def _row(first: int) -> pl.Expr:
    return pl.int_range(first, first + pl.len(), dtype=pl.UInt64)


def _votes(own: pl.DataFrame, first: int, shape: Shape, at: dict[str, str]) -> pl.DataFrame | None:
    """One a row that has a label; None where one is a 0 that wants explaining."""
    who = pl.lit(LABEL)
    if shape.annotator:
        name = pl.col(at[shape.annotator]).cast(pl.String)
        who = pl.when(name != "").then(name).otherwise(pl.lit(LABEL))
    places = {"first": pl.lit(0, pl.UInt32), "second": pl.lit(1, pl.UInt32)}
    if shape.chosen or not shape.label:
        rows = own if shape.chosen else own.clear()
        failure = pl.lit(None, pl.String)
        return rows.select(row=_row(first), annotator=who, **places, won=pl.lit(1.0), failure=failure)
    known = {_word(key): wins for key, wins in shape.labels.items()} if shape.labels else WORDS
    word = pl.col(at[shape.label]).cast(pl.String).str.strip_chars().str.to_lowercase()
    shares = {key: WINS[wins] for key, wins in known.items()}
    won = word.replace_strict(shares, default=None, return_dtype=pl.Float64)
    rows = own.select(row=_row(first), annotator=who, **places, won=won, word=word).filter(pl.col("word") != "")
    if rows.get_column("won").null_count():
        return None  # what is wrong with a label is told a row at a time
    return rows.drop("word").with_columns(failure=pl.lit(None, pl.String))


def _word(key: str) -> str:
    return key.strip().lower()


def _scores(own: pl.DataFrame, first: int, shape: Shape, at: dict[str, str]) -> pl.DataFrame:
    pieces = [
        own.clear().select(
            row=_row(first),
            place=pl.lit(0, pl.UInt32),
            name=pl.lit(""),
            score=pl.lit(0.0),
            failure=pl.lit(None, pl.String),
        )
    ]
    for name, columns in shape.scores.items():
        for place, column in enumerate(columns):
            value = pl.col(at[column]).cast(pl.Float64)
            told = pl.format("{} is {}, expected a finite number", pl.lit(column), value)
            rows = own.select(
                row=_row(first),
                place=pl.lit(place, pl.UInt32),
                name=pl.lit(name),
                score=pl.when(value.is_finite()).then(value),
                failure=pl.when(~value.is_finite()).then(told),
            )
            pieces.append(rows.filter(pl.col("score").is_not_null() | pl.col("failure").is_not_null()))
    return pl.concat(pieces)
