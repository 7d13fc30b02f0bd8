"""Typed columns to ours, by expressions; the rules are those of `conform_rows`."""

import polars as pl

from pairwright.assets.columns import ANSWERS, RAW, TEXTS, Columns
from pairwright.assets.text import SPACES
from pairwright.schemas.tables import STEPS


def by_column(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Rows of type RAW from a frame whose columns are texts and lists of texts."""
    prompt = pl.col(columns.prompt)
    turn = pl.struct(role=pl.lit("user"), content=prompt)
    messages = pl.concat_list(turn)
    if columns.system:
        with_system = pl.concat_list(pl.struct(role=pl.lit("system"), content=pl.col(columns.system)), turn)
        messages = pl.when(_says_something(pl.col(columns.system))).then(with_system).otherwise(messages)
    answers, bad_answers = _answers_by_column(frame, columns)
    bad = pl.coalesce(
        pl.when(prompt.is_null()).then(pl.lit(f"{columns.prompt} is missing")),
        pl.when(~_says_something(prompt)).then(pl.lit(f"{columns.prompt} is empty")),
        bad_answers,
    )
    return frame.select(
        row="_row",
        bad=bad,
        excerpt=prompt.str.slice(0, 200).fill_null(""),
        messages=messages,
        references=_texts_by_column(frame, columns.references),
        tags=_texts_by_column(frame, columns.tags),
        **{field: _text_by_column(columns.texts.get(field)) for field in TEXTS},
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


def _answers_by_column(frame: pl.DataFrame, columns: Columns) -> tuple[pl.Expr, pl.Expr]:
    none, fine = pl.lit([], ANSWERS), pl.lit(None, pl.String)
    if columns.response:
        named = pl.col(columns.policy).cast(pl.String) if columns.policy else pl.lit(None, pl.String)
        policy = pl.when(named != "").then(named).otherwise(pl.lit("unknown"))
        answer = pl.concat_list(_answer(policy, pl.col(columns.response)))
        missing = pl.when(pl.col(columns.response).is_null()).then(pl.lit(f"{columns.response} is missing"))
        return answer, missing
    if not columns.responses:
        return none, fine
    if len(columns.responses) > 1:
        names = columns.policies if isinstance(columns.policies, list) else columns.responses
        answers = pl.concat_list(
            [_answer(pl.lit(policy), pl.col(name)) for policy, name in zip(names, columns.responses, strict=True)]
        )
        return answers.list.eval(pl.element().filter(pl.element().struct.field("text").is_not_null())), fine
    only = pl.col(columns.responses[0])
    texts = only if isinstance(frame.schema[columns.responses[0]], pl.List) else pl.concat_list(only)
    texts = texts.cast(pl.List(pl.String)).fill_null([])
    answers = texts.list.eval(_answer(pl.lit("unknown"), pl.element()))
    return answers.list.eval(pl.element().filter(pl.element().struct.field("text").is_not_null())), fine


def _answer(policy: pl.Expr, text: pl.Expr) -> pl.Expr:
    return pl.struct(policy=policy, text=text, steps=pl.lit(None, STEPS))
