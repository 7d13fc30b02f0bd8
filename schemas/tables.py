"""The tables: their columns, types and rules; those of paid work are in `paid_tables`.

No other module names columns and types of stored data.
"""

import functools
from collections.abc import Sequence
from typing import Any

import polars as pl

from pairwright.schemas.dataframely import SchemaError, ValidationError, dy, without_key
from pairwright.schemas.errors import StoreError
from pairwright.schemas.row_order import ascends

ID = r"^[0-9a-f]{24}$"
MESSAGE: dict[str, dy.Column] = {"role": dy.String(nullable=False), "content": dy.String(nullable=False)}
MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
"""polars type of a conversation."""
STEP: dict[str, dy.Column] = {"text": dy.String(nullable=False), "right": dy.UInt8(nullable=False, max=1)}
STEPS = pl.List(pl.Struct({"text": pl.String, "right": pl.UInt8}))
"""polars type of a response's steps; `right` is 0 or 1, since equal booleans in lists may differ in their bytes."""
GAINED = frozenset({"reasoning", "tool_calls", "reasoning_tokens", "typed", "tools"})
"""Columns that tables came to have later: one without a value is the same as none, in files and in their versions."""


def id_column(primary_key: bool = False) -> dy.String:
    """A content id."""
    return dy.String(nullable=False, primary_key=primary_key, min_length=24, max_length=24)


class Prompts(dy.Schema):
    """A conversation that ends before the assistant's turn."""

    prompt_id = id_column(primary_key=True)
    messages = dy.List(dy.Struct(MESSAGE), nullable=False, min_length=1)
    """Role and text of each turn: of a typed conversation, its text parts joined by a newline."""
    typed = dy.String(nullable=True)
    """Canonical JSON of the conversation, where it holds more than that (see `schemas/conversation.py`)."""
    tools = dy.String(nullable=True)
    """Canonical JSON of the tools that it carries."""
    references = dy.List(dy.String(nullable=False), nullable=False)
    references_id = id_column()
    tests = dy.String(nullable=True)
    source = dy.String(nullable=True)
    license = dy.String(nullable=True)
    domain = dy.String(nullable=True)
    tags = dy.List(dy.String(nullable=False), nullable=False)
    split = dy.String(nullable=True)
    sketch = dy.List(dy.UInt16(nullable=False), nullable=False)


class Responses(dy.Schema):
    """A distinct answer to a prompt; identical samples are one row with their count."""

    prompt_id = id_column(primary_key=True)
    response_id = id_column(primary_key=True)
    text = dy.String(nullable=False)
    """The answer."""
    reasoning = dy.String(nullable=True)
    """What was thought before it. Where it came apart from the answer it is part of the id; where it was cut out of a
    text that opens with it, it is not: then it is that of the first sample."""
    tool_calls = dy.String(nullable=True)
    """Canonical JSON of a list of {id, name, arguments}."""
    policies = dy.List(dy.String(nullable=False), nullable=False)
    sampling = dy.String(nullable=True)
    sample_count = dy.UInt32(nullable=False)
    logprob = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    finish_reason = dy.String(nullable=True)
    prompt_tokens = dy.UInt32(nullable=True)
    completion_tokens = dy.UInt32(nullable=True)
    steps = dy.List(dy.Struct(STEP), nullable=True, min_length=1)
    """The steps of its reasoning, each right or wrong, where the source says so."""


class Labels(dy.Schema):
    """What an annotator says of two responses of a prompt, in id order, as a source has it."""

    prompt_id = id_column(primary_key=True)
    response_a = id_column(primary_key=True)
    response_b = id_column(primary_key=True)
    annotator = dy.String(nullable=False, primary_key=True)
    p_a = dy.Float64(nullable=True, min=0.0, max=1.0)
    """1 where the first is better, 0 where the second is, one half for a tie."""
    failure = dy.String(nullable=True)

    @dy.rule()
    def in_id_order(cls) -> pl.Expr:
        return cls.response_a.col < cls.response_b.col

    @dy.rule()
    def labelled_or_failed(cls) -> pl.Expr:
        return cls.p_a.col.is_null() == cls.failure.col.is_not_null()


class GivenScores(dy.Schema):
    """A score of a response that a source has, by its name."""

    prompt_id = id_column(primary_key=True)
    response_id = id_column(primary_key=True)
    name = dy.String(nullable=False, primary_key=True)
    score = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    failure = dy.String(nullable=True)

    @dy.rule()
    def scored_or_failed(cls) -> pl.Expr:
        return cls.score.col.is_null() == cls.failure.col.is_not_null()


class Disagreements(dy.Schema):
    """How a judge orders the pairs that a source's annotators have decided."""

    judge = dy.String(nullable=False, primary_key=True)
    compared = dy.UInt64(nullable=False)
    same = dy.UInt64(nullable=False)
    tied = dy.UInt64(nullable=False)
    otherwise = dy.UInt64(nullable=False)
    prompts = dy.List(dy.String(nullable=False), nullable=False)
    """Where it does so by the widest margins."""


class Preferences(dy.Schema):
    """A response's utility after the jury. `scores` and `z` are structs with a field per judge, added on disk."""

    prompt_id = id_column(primary_key=True)
    response_id = id_column(primary_key=True)
    utility = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    """What the jury makes of all scores; null for a response that is not ranked."""
    utility_se = dy.Float64(nullable=True, min=0.0, allow_inf=False, allow_nan=False)
    rank = dy.UInt32(nullable=True, min=1)
    """Within the prompt: 1 is the best, and ties share the better rank."""
    agreement = dy.Float64(nullable=True, min=0.0, max=1.0)
    unranked = dy.String(nullable=True)
    """Why it is not ranked."""


class Pairs(dy.Schema):
    """A candidate pair: a view on two responses. Columns `filter_<name>` and `kept_<name>` follow, for each filter."""

    pair_id = id_column(primary_key=True)
    prompt_id = id_column()
    chosen_id = id_column()
    rejected_id = id_column()
    score_chosen = dy.Float64(nullable=False, allow_inf=False, allow_nan=False)
    """Utility of the chosen side."""
    score_rejected = dy.Float64(nullable=False, allow_inf=False, allow_nan=False)
    """Utility of the rejected side."""
    margin = dy.Float64(nullable=False, min_exclusive=0.0, allow_inf=False, allow_nan=False)
    """Difference of the two utilities."""
    strength = dy.Float64(nullable=False, allow_inf=False, allow_nan=False)
    """Mean over the voting judges of the difference of their z-scores."""
    label_confidence = dy.Float64(nullable=False, min=0.0, max=1.0)
    """Share of the voting judges that scored chosen above rejected; a tie counts one half."""
    weight = dy.Float64(nullable=False, min=0.0, allow_inf=False, allow_nan=False)
    kept = dy.Bool(nullable=False)
    """Whether the release takes it: no filter has dropped it."""
    reason = dy.String(nullable=True)
    """Of a pair that was dropped: by which filter, and why."""

    @dy.rule()
    def two_sides(cls) -> pl.Expr:
        return cls.chosen_id.col != cls.rejected_id.col

    @dy.rule()
    def chosen_is_better(cls) -> pl.Expr:
        return cls.score_chosen.col > cls.score_rejected.col

    @dy.rule()
    def dropped_for_a_reason(cls) -> pl.Expr:
        return cls.kept.col == cls.reason.col.is_null()


class Rankings(dy.Schema):
    """A prompt's ranked responses, best first."""

    prompt_id = id_column(primary_key=True)
    response_ids = dy.List(dy.String(nullable=False), nullable=False, min_length=2)
    """Best first, ties in id order."""
    scores = dy.List(dy.Float64(nullable=False), nullable=False)
    ranks = dy.List(dy.UInt32(nullable=False), nullable=False)
    soft_targets = dy.List(dy.Float64(nullable=False), nullable=False)
    """Softmax of the utilities over a temperature."""


class Rejects(dy.Schema):
    """A row of a source that could not be used."""

    source = dy.String(nullable=False)
    row = dy.UInt64(nullable=False)
    reason = dy.String(nullable=False)
    excerpt = dy.String(nullable=False)


class Notices(Rejects):
    """A row of a source that says other things of its prompt than what was settled on; its responses are kept."""


class Media(dy.Schema):
    """A local file that a source's rows refer to, and what it is stored as."""

    path = dy.String(nullable=False, primary_key=True)
    """From the recipe's folder, where it lies below that."""
    size = dy.Int64(nullable=False, min=0)
    mtime = dy.Int64(nullable=False)
    """Nanoseconds."""
    name = dy.String(nullable=False)


def types(schema: type[dy.Schema]) -> dict[str, pl.DataType]:
    """The polars type of each column."""
    return dict(_types(schema))


@functools.cache
def _types(schema: type[dy.Schema]) -> pl.Schema:
    return schema.create_empty().schema


def empty(schema: type[dy.Schema]) -> pl.DataFrame:
    """A frame of that table without rows."""
    return pl.DataFrame(schema=types(schema))


def with_gained(frame: pl.DataFrame, schema: type[dy.Schema]) -> pl.DataFrame:
    """The frame with the columns that its table came to have after it was written, without values."""
    return frame.with_columns(
        pl.lit(None, dtype).alias(name)
        for name, dtype in types(schema).items()
        if name in GAINED and name not in frame.columns
    )


def check(frame: pl.DataFrame, schema: type[dy.Schema], extra: Sequence[str] = ()) -> pl.DataFrame:
    """The frame with the schema's columns first and `extra` after, once every rule holds.

    Raises StoreError with the rules that rows break: nothing that breaks one is ever written.
    """
    columns: list[Any] = [*schema.column_names(), *extra]
    try:
        own = frame.select(schema.column_names())
        if not (ascends(own, schema.primary_key()) and without_key(schema).is_valid(own)):
            schema.validate(own)
    except (ValidationError, SchemaError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"table {schema.__name__.lower()} breaks its rules: {' '.join(str(error).split())}") from error
    return frame.select(columns)
