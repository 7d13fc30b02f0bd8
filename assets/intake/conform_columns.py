"""Typed columns to ours, by expressions; the rules are those of `conform_rows`."""

import polars as pl

from pairwright.assets.display.text import SPACES
from pairwright.assets.intake.columns import ANSWERS, RAW, TEXTS, Columns
from pairwright.schemas.tables import STEPS


def by_column(frame: pl.DataFrame, first: int, columns: Columns) -> pl.DataFrame:
    """Rows of type RAW from a frame whose columns are texts and lists of texts; its rows are numbered from `first`."""
    at = {name: str(position) for position, name in enumerate(frame.columns)}
    frame = frame.rename(at)  # a name may be a pattern to polars, like `*` or `^a.*$`
    prompt = pl.col(at[columns.prompt])
    turn = pl.struct(role=pl.lit("user"), content=prompt)
    messages = pl.concat_list(turn)
    if columns.system:
        system = pl.col(at[columns.system])
        with_system = pl.concat_list(pl.struct(role=pl.lit("system"), content=system), turn)
        messages = pl.when(_says_something(system)).then(with_system).otherwise(messages)
    answers, bad_answers = _answers_by_column(frame, columns, at)
    bad = pl.coalesce(
        pl.when(prompt.is_null()).then(pl.lit(f"{columns.prompt} is missing")),
        pl.when(~_says_something(prompt)).then(pl.lit(f"{columns.prompt} is empty")),
        bad_answers,
    )
    return frame.select(
        row=pl.int_range(first, first + pl.len(), dtype=pl.UInt64),
        bad=bad,
        excerpt=prompt.str.slice(0, 200).fill_null(""),
        messages=messages,
        typed=pl.lit(None, pl.String),
        tools=pl.lit(None, pl.String),
        references=_texts_by_column(frame, [at[name] for name in columns.references]),
        tags=_texts_by_column(frame, [at[name] for name in columns.tags]),
        **{field: _text_by_column(at[columns.texts[field]] if field in columns.texts else None) for field in TEXTS},
        answers=answers,
    ).cast(RAW)


def _says_something(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.String).str.strip_chars(SPACES) != ""


def _text_by_column(name: str | None) -> pl.Expr:
    return pl.when(_says_something(pl.col(name))).then(pl.col(name)) if name else pl.lit(None)


def _texts_by_column(frame: pl.DataFrame, names: list[str]) -> pl.Expr:
    """The non-empty texts of several columns, each a text or a list of texts."""
    if not names:
        return pl.lit([], pl.List(pl.String))
    lists = [
        (pl.col(name) if isinstance(frame.schema[name], pl.List) else pl.concat_list(name))
        .cast(pl.List(pl.String))
        .fill_null([])
        for name in names
    ]
    return pl.concat_list(lists).list.eval(pl.element().filter(_says_something(pl.element())))


def _answers_by_column(frame: pl.DataFrame, columns: Columns, at: dict[str, str]) -> tuple[pl.Expr, pl.Expr]:
    none, fine = pl.lit([], ANSWERS), pl.lit(None, pl.String)
    if columns.response:
        text = pl.col(at[columns.response])
        named = pl.col(at[columns.policy]).cast(pl.String) if columns.policy else pl.lit(None, pl.String)
        policy = pl.when(named != "").then(named).otherwise(pl.lit("unknown"))
        missing = pl.when(text.is_null()).then(pl.lit(f"{columns.response} is missing"))
        return pl.concat_list(_answer(policy, text)), missing
    if not columns.responses:
        return none, fine
    texts = [pl.col(at[name]) for name in columns.responses]
    if len(texts) > 1:
        names = columns.policies if isinstance(columns.policies, list) else columns.responses
        answers = pl.lit(_side_by_side(frame, [_answer(pl.lit(n), text) for n, text in zip(names, texts, strict=True)]))
        return answers.list.eval(pl.element().filter(pl.element().struct.field("text").is_not_null())), fine
    only = texts[0]
    if not isinstance(frame.schema[at[columns.responses[0]]], pl.List):
        only = pl.concat_list(only)
    answers = only.cast(pl.List(pl.String)).fill_null([]).list.eval(_answer(pl.lit("unknown"), pl.element()))
    return answers.list.eval(pl.element().filter(pl.element().struct.field("text").is_not_null())), fine


def _side_by_side(frame: pl.DataFrame, answers: list[pl.Expr]) -> pl.Series:
    """A row's answers as a list. `concat_list` takes thirty times as long over structs."""
    row = pl.int_range(pl.len())
    stacked = pl.concat([frame.select(row=row, answer=answer.cast(ANSWERS.inner)) for answer in answers])
    rows = stacked.sort("row", maintain_order=True).group_by("row", maintain_order=True).agg("answer")
    return rows.get_column("answer")


def _answer(policy: pl.Expr, text: pl.Expr) -> pl.Expr:
    nothing = pl.lit(None, pl.String)
    return pl.struct(policy=policy, text=text, reasoning=nothing, tool_calls=nothing, steps=pl.lit(None, STEPS))
