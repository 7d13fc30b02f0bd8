"""A prompt's turns as a chat template is given them: with calls and tools, where the prompt has some."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from pairwright.schemas.chat_messages import template_message
from pairwright.schemas.content_parts import MEDIA
from pairwright.schemas.tool_calls import tools_of

CALLS = "cannot read tool calls"
"""The failure of a response that holds some: a model's pass is over the answer's text."""


class Turns(NamedTuple):
    """What a conversation is rendered from."""

    messages: Sequence[Mapping[str, Any]]
    tools: list[dict[str, Any]] | None = None
    refused: str | None = None
    """Why it cannot be read at all."""


def cannot_read(kind: str) -> str:
    """The failure of a conversation that shows what a model does not see."""
    return f"cannot read {'a' if kind == 'video' else 'an'} {kind}"


def each_turns(prompts: pl.DataFrame) -> Iterator[tuple[str, Turns]]:
    """prompt_id and turns of rows of the prompts table, whose `messages` a context may have changed."""
    more = [name for name in ("typed", "tools") if name in prompts.columns]
    if all(prompts.get_column(name).null_count() == prompts.height for name in more):
        yield from ((key, Turns(messages)) for key, messages in prompts.select("prompt_id", "messages").iter_rows())
        return
    for row in prompts.select("prompt_id", "messages", *more).iter_rows(named=True):
        yield row["prompt_id"], _turns(row["messages"], row.get("typed"), row.get("tools"))


def _turns(messages: list[dict[str, str]], typed: str | None, tools: str | None) -> Turns:
    turns = json.loads(typed) if typed is not None else messages
    if [one["role"] for one in turns] != [one["role"] for one in messages]:  # a context left the conversation out
        return Turns(messages)
    for turn in turns:
        if not isinstance(turn["content"], str):
            kind = next(part["type"] for part in turn["content"] if part["type"] in MEDIA)
            return Turns(messages, refused=cannot_read(kind))
    given = tools_of(tools) if tools is not None else None
    if typed is None:
        return Turns(messages, given)
    told = [{**turn, "content": one["content"]} for turn, one in zip(turns, messages, strict=True)]
    return Turns([template_message(turn) for turn in told], given)
