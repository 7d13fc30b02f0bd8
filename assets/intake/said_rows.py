"""What labelled rows say of their responses, on its way into the shards: by place in the row, then by content ids."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.intake.conform import conform
from pairwright.assets.intake.label_shape import LabelledColumns
from pairwright.assets.intake.labelled_columns import by_columns
from pairwright.assets.intake.labelled_rows import Given, Vote, labelled
from pairwright.assets.intake.records import Records
from pairwright.schemas.content_parts import Keep, keep_nothing

VOTES: dict[str, Any] = {
    "row": pl.UInt64,
    "annotator": pl.String,
    "first": pl.UInt32,
    "second": pl.UInt32,
    "won": pl.Float64,
    "failure": pl.String,
}
GIVEN: dict[str, Any] = {
    "row": pl.UInt64,
    "place": pl.UInt32,
    "name": pl.String,
    "score": pl.Float64,
    "failure": pl.String,
}
PAIR = ["prompt_id", "response_a", "response_b"]


class Said(NamedTuple):
    """Rows of a source, and what they say of their responses."""

    raw: pl.DataFrame
    """Of type RAW."""
    votes: pl.DataFrame
    """Of type VOTES: places are those of the row's responses."""
    scores: pl.DataFrame
    """Of type GIVEN."""


def conform_labelled(records: Records, columns: LabelledColumns, keep: Keep = keep_nothing) -> Said:
    """The records of a labelled source; `keep` stores what media they hold.

    Raises SourceError for labels that nobody can tell the meaning of.
    """
    if records.frame is not None and (found := by_columns(records, columns, keep)) is not None:
        raw, votes, scores = found
        return Said(raw, votes.cast(pl.Schema(VOTES)), scores.cast(pl.Schema(GIVEN)))
    forms: list[tuple[int, Any, str | None]] = []
    votes_of: list[tuple[int, Vote]] = []
    given: list[tuple[int, Given]] = []
    for number, record, reason in _objects(records):
        form = record
        if reason is None and isinstance(record, Mapping):
            try:
                form, votes_in, given_in = labelled(record, columns.shape, f"{records.part}, row {number}: ")
                votes_of += [(number, one) for one in votes_in]
                given += [(number, one) for one in given_in]
            except ValueError as error:
                reason = str(error)
        forms.append((number, form, reason))
    raw = conform(records._replace(frame=None, objects=forms), columns.columns, keep)
    return Said(
        raw,
        pl.DataFrame([(number, *one) for number, one in votes_of], VOTES, orient="row"),
        pl.DataFrame([(number, *one) for number, one in given], GIVEN, orient="row"),
    )


def _objects(records: Records) -> list[tuple[int, Any, str | None]]:
    if records.frame is None:
        return records.objects
    return [(number, row, None) for number, row in enumerate(records.frame.to_dicts(), start=records.first)]


def identified_labels(said: Said, answers: pl.DataFrame) -> pl.DataFrame:
    """Votes by content: prompt_id, response_a < response_b, annotator, p_a, failure. `answers` have row and ids."""
    if said.votes.is_empty():
        return pl.DataFrame(
            schema={**dict.fromkeys([*PAIR, "annotator"], pl.String), "p_a": pl.Float64, "failure": pl.String}
        )
    placed = _placed(answers)
    rows = said.votes
    for side in ("first", "second"):
        own = placed.select("row", "prompt_id", pl.col("place").alias(side), pl.col("response_id").alias(f"id_{side}"))
        rows = rows.join(own.drop("prompt_id") if side == "second" else own, on=["row", side])
    in_order = pl.col("id_first") < pl.col("id_second")
    return rows.select(
        "prompt_id",
        "annotator",
        "failure",
        response_a=pl.min_horizontal("id_first", "id_second"),
        response_b=pl.max_horizontal("id_first", "id_second"),
        p_a=pl.when(in_order).then("won").otherwise(1 - pl.col("won")),
    ).select(*PAIR, "annotator", "p_a", "failure")


def identified_scores(said: Said, answers: pl.DataFrame) -> pl.DataFrame:
    """Scores by content: prompt_id, response_id, name, score, failure."""
    rows = said.scores.join(_placed(answers), on=["row", "place"])
    return rows.select("prompt_id", "response_id", "name", "score", "failure")


def _placed(answers: pl.DataFrame) -> pl.DataFrame:
    place = pl.int_range(pl.len()).over("row").cast(pl.UInt32)
    return answers.select("row", "prompt_id", "response_id", place=place)


def merged_labels(rows: pl.DataFrame, prompts: pl.DataFrame) -> pl.DataFrame:
    """One row for what an annotator says of a pair; whoever says different things of it has said nothing."""
    told = pl.format("annotator '{}' labels the same pair differently", pl.col("annotator").str.slice(0, 40))
    return _merged(rows, prompts, [*PAIR, "annotator"], "p_a", told)


def merged_scores(rows: pl.DataFrame, prompts: pl.DataFrame) -> pl.DataFrame:
    """One row for each score of a response; different values of one score are none."""
    told = pl.format("{} has different values for the same response", pl.col("name").str.slice(0, 40))
    return _merged(rows, prompts, ["prompt_id", "response_id", "name"], "score", told)


def _merged(rows: pl.DataFrame, prompts: pl.DataFrame, key: list[str], value: str, told: pl.Expr) -> pl.DataFrame:
    rows = rows.join(prompts.select("prompt_id"), on="prompt_id", how="semi")
    repeated = pl.struct(key).is_duplicated()
    several = (
        rows.filter(repeated)
        .group_by(key)
        .agg(
            pl.col(value).min(),
            most=pl.col(value).max(),
            failure=pl.col("failure").drop_nulls().sort().first(),
        )
    )
    differs = pl.col(value) != pl.col("most")
    known = pl.col(value).is_not_null() & ~differs
    several = several.select(
        *key,
        pl.when(known).then(value).alias(value),
        failure=pl.when(differs).then(told).when(pl.col(value).is_null()).then("failure"),
    )
    return pl.concat([rows.filter(~repeated).select(several.columns), several]).sort(key)
