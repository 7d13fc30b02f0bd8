"""Conversations in the spellings that data sets have come out in one form; what is none says why."""

import json
from typing import Any

import pytest

from pairwright.schemas.content_parts import Attached
from pairwright.schemas.conversation import read_conversation, read_messages, read_response, turns_of
from pairwright.schemas.ids import prompt_id
from pairwright.schemas.tool_calls import read_tools

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
ASKED = {"role": "user", "content": "How warm is it?"}
READ = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "c1", "name": "weather", "arguments": {"city": "Rome"}}],
}
BARE = {**READ, "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]}
LOOK = [
    {"role": "user", "content": [{"type": "image", "url": "https://x.org/a.png"}, {"type": "text", "text": "What?"}]}
]


def keep(kind: str, value: Any) -> dict[str, str]:
    return {"url": value["url"] if isinstance(value, dict) else value}


SPELLINGS: dict[str, tuple[list[Any], list[Any]]] = {
    "openai": ([ASKED, {"role": "assistant", "content": None, "tool_calls": [CALL]}], [ASKED, READ]),
    "arguments as an object, nulls of a typed table": (
        [
            {**ASKED, "tool_calls": None, "tool_call_id": None},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "function": {"name": "weather", "arguments": {"city": "Rome", "day": None}}}
                ],
            },
        ],
        [ASKED, READ],
    ),
    "flat": ([{"role": "assistant", "tool_calls": [CALL["function"]]}], [BARE]),
    "function_call of the older protocol": (
        [{"role": "assistant", "content": "", "function_call": CALL["function"]}],
        [BARE],
    ),
    "sharegpt": (
        [
            {"from": "human", "value": "How warm is it?"},
            {"from": "function_call", "value": json.dumps({"name": "weather", "arguments": {"city": "Rome"}})},
            {"from": "observation", "value": "22"},
        ],
        [ASKED, BARE, {"role": "tool", "content": "22"}],
    ),
    "a tool's answer": (
        [
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "name": "w", "content": "22"},
        ],
        [READ, {"role": "tool", "tool_call_id": "c1", "name": "w", "content": "22"}],
    ),
    "reasoning_content": (
        [{"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}],
        [{"role": "assistant", "content": "4", "reasoning": "2 and 2"}],
    ),
    "a part of thinking": (
        [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}]}],
        [{"role": "assistant", "content": "4", "reasoning": "hm"}],
    ),
    "image_url": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
                    {"type": "text", "text": "What?"},
                ],
            }
        ],
        LOOK,
    ),
    "image with nulls beside": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "url": "https://x.org/a.png", "text": None},
                    {"type": "text", "text": "What?", "url": None},
                ],
            }
        ],
        LOOK,
    ),
    "parts without a type": (
        [{"role": "user", "content": [{"image": "https://x.org/a.png"}, {"text": "What?"}]}],
        LOOK,
    ),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_spellings_come_to_one_form(case: str) -> None:
    given, expected = SPELLINGS[case]
    found = read_conversation(given, "messages", keep)
    assert turns_of(*found) == expected
    assert found.typed == json.dumps(expected, sort_keys=True, separators=(",", ":"))
    assert read_conversation(turns_of(*found), "messages", keep) == found


def test_texts_are_plain_in_whatever_spelling_and_keep_their_id() -> None:
    plain = [{"role": "system", "content": "s"}, {"role": "user", "content": "a\nb"}]
    for given in (
        plain,
        [{"role": "system", "content": "s", "name": None}, {"role": "user", "content": "a\nb", "weight": 1}],
        [{"from": "system", "value": "s"}, {"from": "human", "value": "a\nb"}],
        [plain[0], {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        [plain[0], {"role": "user", "content": "a\nb", "name": "Ada"}],
    ):
        assert read_conversation(given, "messages") == (plain, None)
    assert prompt_id(plain) == prompt_id(plain, None, None) == "5b02f55bcf363b3013edb6e7"


def test_what_is_more_than_text_is_part_of_the_id() -> None:
    texts, typed = read_conversation(LOOK, "messages", keep)
    tools = read_tools([{"name": "f", "parameters": {}}], "tools")
    ids = {prompt_id(texts), prompt_id(texts, typed), prompt_id(texts, typed, str(tools)), prompt_id(texts, None, "[]")}
    assert len(ids) == 4


def test_placeholders_take_the_media_beside_them_in_order() -> None:
    asked = [{"role": "user", "content": "<image>\nand <image>?"}, {"role": "user", "content": "<audio> a <b>"}]
    turns = read_messages(asked, "messages", keep, Attached({"image": ["u1", "u2"]}))
    assert turns[0]["content"] == [
        {"type": "image", "url": "u1"},
        {"type": "text", "text": "and "},
        {"type": "image", "url": "u2"},
        {"type": "text", "text": "?"},
    ]
    assert turns[1]["content"] == "<audio> a <b>"  # no column of sounds: a text
    parts = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}]
    turns = read_messages(parts, "messages", keep, Attached({"image": ["u1"]}))
    assert turns[0]["content"][0] == {"type": "image", "url": "u1"}
    loose = read_messages([ASKED], "messages", keep, Attached({"image": ["u1"]}))
    assert loose[0]["content"] == [{"type": "image", "url": "u1"}, {"type": "text", "text": ASKED["content"]}]


ODD = {"function": {"name": "f", "arguments": "{broken"}}
BAD: dict[str, tuple[list[Any], str]] = {
    "no role": ([{"content": "a"}], "turn 1 is no message with role and content"),
    "unknown role": ([{"role": "x", "content": "a"}], "turn 1 has role 'x'; allowed: system, developer, user"),
    "wrong part": (
        [{"role": "user", "content": [{"type": "table"}]}],
        "turn 1: part 1 has type 'table'; allowed: text, im",
    ),
    "part of no kind": ([{"role": "user", "content": [{"x": 1}]}], "turn 1: part 1 has no type; allowed: text, image"),
    "text that is none": (
        [{"role": "user", "content": [{"type": "text", "text": 1}]}],
        "part 1 has type 'text', but its text",
    ),
    "a number": ([{"role": "user", "content": 5}], "turn 1 is int"),
    "nothing beside": (
        [{"role": "user", "content": [{"type": "image"}]}],
        "part 1 stands for image number 1, but the row has 0",
    ),
    "no content": ([{"role": "assistant"}], "turn 1 has no content"),
    "reasoning only": ([{"role": "assistant", "reasoning": "hm"}], "turn 1 has no content but reasoning"),
    "a user's call": ([{"role": "user", "content": "", "tool_calls": [CALL]}], "turn 1 is a user's and has tool_calls"),
    "broken arguments": (
        [{"role": "assistant", "tool_calls": [ODD]}],
        "tool call 1: arguments is '{broken', which is not valid",
    ),
    "arguments that are none": (
        [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]}],
        "expected a JSON object",
    ),
    "no name": ([{"role": "assistant", "tool_calls": [{"arguments": {}, "id": "1"}]}], "tool call 1 has no name"),
    "some ids": (
        [{"role": "assistant", "tool_calls": [CALL, CALL["function"]]}],
        "tool call 2 has no id, while others",
    ),
    "one id twice": ([{"role": "assistant", "tool_calls": [CALL, CALL]}], "two tool calls have the same id"),
    "an answer to no id": (
        [
            {"role": "assistant", "tool_calls": [CALL["function"]]},
            {"role": "tool", "tool_call_id": "z", "content": "1"},
        ],
        "turn 2 answers the tool call 'z', which no turn before makes",
    ),
    "an answer without": (
        [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "1"}],
        "turn 2 is a tool's answer without tool_call_id",
    ),
    "another kind of call": (
        [{"role": "assistant", "tool_calls": [{**CALL, "type": "code"}]}],
        "has type 'code'; allowed: function",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_conversation_says_why(case: str) -> None:
    given, reason = BAD[case]
    with pytest.raises(ValueError, match=r"^messages: turn \d") as error:
        read_conversation(given, "messages", keep)
    assert reason in str(error.value)


def test_responses() -> None:
    assert read_response("<b>", "r") == ("<b>", None, None)
    said = {"role": "assistant", "content": "4", "reasoning_content": "2+2"}
    assert read_response(said, "r") == read_response([said], "r") == ("4", "2+2", None)
    assert read_response(READ, "r") == ("", None, '[{"arguments":{"city":"Rome"},"id":"c1","name":"weather"}]')
    for given, reason in (
        ({"role": "assistant", "content": " ", "reasoning": "hm"}, "r has reasoning only, and no answer"),
        ([said, said], "r is a list of 2 turns"),
        (ASKED, "r is a user's turn"),
        (7, "r is no message"),
    ):
        with pytest.raises(ValueError, match=reason):
            read_response(given, "r")
    with pytest.raises(ValueError, match="cannot be kept here"):
        read_response({"role": "assistant", "content": LOOK[0]["content"]}, "r")


def test_tools() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    flat = {"name": "weather", "description": "Tells it.", "parameters": schema}
    expected = [{"type": "function", "function": flat}]
    typed = {"type": "function", "function": {**flat, "strict": None, "parameters": {**schema, "required": None}}}
    for given in (
        [flat],
        [typed],
        json.dumps([flat]),
        [json.dumps(flat)],
        flat,
        [{**flat, "parameters": json.dumps(schema)}],
    ):
        assert read_tools(given, "tools") == expected
    assert read_tools(None, "tools") == read_tools([], "tools") == read_tools("", "tools") == []
    for given, reason in (
        ([1], "tools: tool 1 is 1, expected an object"),
        ([{"type": "function"}], "tool 1 has no name"),
        ("[", r"tools is '\[', which is not valid JSON"),
        ([flat, flat], "has two tools 'weather'"),
        ([{"name": "f", "parameters": "NaN"}], "not valid JSON"),
    ):
        with pytest.raises(ValueError, match=reason):
            read_tools(given, "tools")
