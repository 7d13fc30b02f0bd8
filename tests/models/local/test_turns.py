"""Local models are given tools and calls by their chat template, and say what they cannot read."""

from typing import Any

import polars as pl

from pairwright.judges.base import Batch
from pairwright.models.local.engine import windows
from pairwright.models.local.request import EMPTY
from pairwright.models.local.turns import CALLS, Turns, each_turns
from pairwright.schemas.conversation import stored
from pairwright.schemas.tool_calls import canonical, read_tools

TOOLS = canonical(read_tools([{"name": "weather", "parameters": {"type": "object"}}], "tools"))
CALL = {"name": "weather", "arguments": {"city": "Rome"}}
ASKED = {"role": "user", "content": "How warm?"}
TALK = [ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "tool", "content": "22"}]
SEEN = [{"role": "user", "content": [{"type": "image", "url": "https://x.org/a.png"}, {"type": "text", "text": "?"}]}]


def prompts(**named: tuple[list[dict[str, Any]], str | None]) -> pl.DataFrame:
    rows = [(key, *stored(turns), tools) for key, (turns, tools) in named.items()]
    return pl.DataFrame(rows, schema=["prompt_id", "messages", "typed", "tools"], orient="row")


def test_turns_have_calls_and_tools_where_the_prompt_has() -> None:
    found = dict(
        each_turns(prompts(plain=([ASKED], None), talk=(TALK, TOOLS), seen=(SEEN, None), tools=([ASKED], TOOLS)))
    )
    assert found["plain"] == Turns([ASKED])
    given = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    assert found["talk"].tools == found["tools"].tools == given
    assert found["talk"].messages[1]["tool_calls"] == [{"type": "function", "function": CALL}]
    assert found["seen"].refused == "cannot read an image"


def test_a_context_that_changes_the_text_keeps_calls_and_one_that_empties_it_does_not() -> None:
    rows = prompts(talk=(TALK, TOOLS))
    first = pl.struct(role=pl.lit("user"), content=pl.lit("Before. How warm?"))
    longer = pl.concat_list([first, *(pl.col("messages").list.get(i) for i in (1, 2))])
    [(_, turns)] = each_turns(rows.with_columns(messages=longer))
    assert turns.messages[0]["content"] == "Before. How warm?" and "tool_calls" in turns.messages[1] and turns.tools
    [(_, turns)] = each_turns(EMPTY.apply(rows))
    assert turns == Turns([{"role": "user", "content": ""}])


def test_a_response_that_calls_tools_has_no_text_to_read() -> None:
    responses = pl.DataFrame(
        {
            "prompt_id": ["p"] * 2,
            "response_id": ["a", "b"],
            "text": ["yes", ""],
            "tool_calls": [None, canonical([CALL])],
        }
    )
    work = Batch(prompts(p=([ASKED], TOOLS)), responses)
    [(_, found)] = windows(work.prompts, work.responses)
    assert found == {"p": [("a", "yes"), ("b", None)]}
    assert CALLS == "cannot read tool calls"
