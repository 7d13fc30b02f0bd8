"""Rows of a release that hold more than texts, for formats: what each needs, and its messages as a trainer reads them.

A release without tools, media, calls and reasoning has none of these columns, and nothing here is called for it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from pairwright.schemas.chat_messages import Reasoning, tagged, template_message
from pairwright.schemas.content_parts import MEDIA, PLACEHOLDER
from pairwright.schemas.conversation import turns_of
from pairwright.schemas.tool_calls import canonical, tools_of

PROMPT = ("typed", "tools")
BESIDE = ("reasoning", "tool_calls")
"""What may stand beside a response: in rankings a list of it, in pairs a column for each side."""
SIDES = ("chosen", "rejected")
BOTH = "text beside tool calls"
PLACED = "placeholders of media in texts"
"""Of a text that only speaks of `<image>`, some trainers look for the file."""
CALLS = frozenset({"tools", "tool calls"})


def typed_columns(names: Sequence[str]) -> list[str]:
    """The columns of a release's table that only a release with more than texts has."""
    known = {*PROMPT, *BESIDE, *(f"{side}_{name}" for side in SIDES for name in BESIDE)}
    return [name for name in names if name in known]


def needs(names: Sequence[str]) -> pl.Expr:
    """What each row needs a place for, beside texts: kinds of media, `tools` and `tool calls`."""
    needed = [pl.lit([], pl.List(pl.String))]
    if "typed" in names:
        held = pl.col("typed").map_elements(_held, return_dtype=pl.List(pl.String), skip_nulls=True)
        needed.append(held.fill_null([]))
    if "tools" in names:
        needed.append(_where(pl.col("tools").is_not_null(), "tools"))
    calls = [pl.col(name).is_not_null() for name in names if name.endswith("_tool_calls")]
    if "tool_calls" in names:
        calls.append(pl.col("tool_calls").list.drop_nulls().list.len() > 0)
    if calls:
        needed.append(_where(pl.any_horizontal(calls), "tool calls"))
    for side in SIDES:
        if f"{side}_tool_calls" in names:
            said = pl.col(side).list.first().struct.field("content") != ""
            needed.append(_where(said & pl.col(f"{side}_tool_calls").is_not_null(), BOTH))
    for name in ("prompt", *SIDES):
        if name in names:
            texts = pl.col(name).list.eval(pl.element().struct.field("content").str.contains(PLACEHOLDER.pattern))
            needed.append(_where(texts.list.any(), PLACED))
    return pl.concat_list(needed).list.unique().list.sort()


def _where(condition: pl.Expr, name: str) -> pl.Expr:
    return pl.when(condition).then(pl.lit([name], pl.List(pl.String))).otherwise(pl.lit([], pl.List(pl.String)))


def _held(typed: str) -> list[str]:
    """What a typed conversation needs."""
    found = set[str]()
    for turn in json.loads(typed):
        if not isinstance(turn["content"], str):
            found |= {part["type"] for part in turn["content"]} & {*MEDIA}
        if "tool_calls" in turn:
            found |= {"tool calls", BOTH} if turn["content"] else {"tool calls"}
    return sorted(found)


def reasoned(names: Sequence[str]) -> pl.Expr:
    """Whether a response of the row came with reasoning."""
    given = [pl.col(f"{side}_reasoning").is_not_null() for side in SIDES if f"{side}_reasoning" in names]
    if "reasoning" in names:
        given.append(pl.col("reasoning").list.drop_nulls().list.len() > 0)
    return pl.any_horizontal(given) if given else pl.lit(False)


def with_tags(table: pl.LazyFrame) -> pl.LazyFrame:
    """The answers with their reasoning before them, between tags."""
    names = table.collect_schema().names()
    for side in SIDES:
        if f"{side}_reasoning" in names:
            turn = pl.col(side).list.first().struct
            said = _tagged(pl.col(f"{side}_reasoning"), turn.field("content"))
            table = table.with_columns(pl.concat_list(pl.struct(turn.field("role"), said.alias("content"))).alias(side))
    if "reasoning" in names:
        kind = table.collect_schema()["responses"]
        both = pl.struct("responses", "reasoning")
        table = table.with_columns(responses=both.map_elements(_tagged_responses, return_dtype=kind))
    return table


def _tagged(reasoning: pl.Expr, answer: pl.Expr) -> pl.Expr:
    tagged = pl.format("<think>\n{}\n</think>\n\n{}", reasoning, answer)
    return pl.when(reasoning.is_not_null()).then(tagged).otherwise(answer)


def _tagged_responses(row: Mapping[str, Any]) -> list[Any]:
    return [
        [{**turns[0], "content": tagged(reasoning, turns[0]["content"])}]
        for turns, reasoning in zip(row["responses"], row["reasoning"], strict=True)
    ]


def canonical_pairs(table: pl.LazyFrame) -> pl.LazyFrame:
    """With `turns`, the prompt's canonical messages, and each side's, as JSON: what a format renders in its own way."""
    names = table.collect_schema().names()
    prompt = pl.struct("prompt", *(["typed"] if "typed" in names else []))
    made = {"turns": prompt.map_elements(_prompt, return_dtype=pl.String)}
    for side in SIDES:
        beside = {name: pl.col(f"{side}_{name}") for name in BESIDE if f"{side}_{name}" in names}
        said = pl.col(side).list.first().struct.field("content").alias("content")
        answer = pl.struct(said, *(one.alias(name) for name, one in beside.items()))
        made[f"{side}_turns"] = answer.map_elements(_answer, return_dtype=pl.String)
    return table.with_columns(**made)


def _prompt(row: Mapping[str, Any]) -> str:
    return canonical(turns_of(row["prompt"], row.get("typed")))


def _answer(row: Mapping[str, Any]) -> str:
    message: dict[str, Any] = {"role": "assistant", "content": row["content"]}
    if row.get("reasoning") is not None:
        message["reasoning"] = row["reasoning"]
    if row.get("tool_calls") is not None:
        message["tool_calls"] = json.loads(row["tool_calls"])
    return canonical([message])


def trl_messages(table: pl.LazyFrame, reasoning: Reasoning) -> pl.LazyFrame:
    """Prompt and sides as lists of JSON messages in the form of chat templates, and `images`, names or addresses."""
    images = "image" in media_kinds(table)

    def messages(turns: str) -> list[str]:
        return [json.dumps(template_message(turn, reasoning, images), ensure_ascii=False) for turn in json.loads(turns)]

    told = {"prompt": "turns", "chosen": "chosen_turns", "rejected": "rejected_turns"}
    made = {
        name: pl.col(source).map_elements(messages, return_dtype=pl.List(pl.String)) for name, source in told.items()
    }
    if "tools" in table.collect_schema():
        made["tools"] = pl.col("tools").map_elements(_tools, return_dtype=pl.String)
    shown = {"images": pl.col("turns").map_elements(media_of, return_dtype=pl.List(pl.String))} if images else {}
    return canonical_pairs(table).with_columns(**made, **shown)


def _tools(tools: str) -> str:
    return json.dumps(tools_of(tools), ensure_ascii=False)


def media_kinds(table: pl.LazyFrame) -> list[str]:
    """The kinds of media that conversations of the table show."""
    if "typed" not in table.collect_schema():
        return []
    typed = table.select("typed").filter(pl.col("typed").is_not_null())
    found = typed.select(needs(["typed"]).alias("what")).collect(engine="streaming")
    return [kind for kind in MEDIA if found.get_column("what").list.contains(kind).any()]


def media_of(turns: str, kind: str = "image") -> list[str]:
    """The names or addresses of a conversation's media of a kind, in order."""
    return [
        part.get("media", part.get("url"))
        for turn in json.loads(turns)
        if not isinstance(turn["content"], str)
        for part in turn["content"]
        if part["type"] == kind
    ]


def text_with_placeholders(content: Any) -> str:
    """A content as one text in which media have placeholders."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else f"<{part['type']}>" for part in content)
