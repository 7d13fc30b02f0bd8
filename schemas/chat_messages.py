"""Canonical messages as chat templates and servers read them."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pairwright.schemas.tool_calls import canonical

Reasoning = Literal["strip", "keep", "think-tags"]


def tagged(reasoning: str | None, answer: str) -> str:
    """An answer with what was thought before it, between tags."""
    return answer if reasoning is None else f"<think>\n{reasoning}\n</think>\n\n{answer}"


def template_message(turn: Mapping[str, Any], reasoning: Reasoning = "strip", parts: bool = False) -> dict[str, Any]:
    """A message as chat templates of transformers read it: arguments are objects, media are parts without a file.

    `parts`: every content is a list of parts, as templates of models that see want it.
    """
    content = turn["content"]
    thought = turn.get("reasoning")
    if reasoning == "think-tags" and isinstance(content, str):
        content = tagged(thought, content)
    role = turn["role"]
    if parts:
        given = [{"type": "text", "text": content}] if isinstance(content, str) else content
        content = [one if one["type"] == "text" else {"type": one["type"]} for one in given]
        role = "system" if role == "developer" else role
    message: dict[str, Any] = {"role": role, "content": content, **_named(turn)}
    if reasoning == "keep" and thought is not None:
        message["reasoning_content"] = thought
    if "tool_calls" in turn:
        message["tool_calls"] = [_call(one, one["arguments"]) for one in turn["tool_calls"]]
    return message


def server_message(turn: Mapping[str, Any], address: Callable[[Mapping[str, str]], str]) -> dict[str, Any]:
    """A message as the OpenAI protocol has it: arguments are JSON texts, calls have ids, media are addresses.

    `address` tells where a part's file is: its URL, or a data URI. Reasoning is not sent back.
    """
    content = turn["content"]
    if not isinstance(content, str):
        content = [server_part(part, address) for part in content]
    message: dict[str, Any] = {"role": turn["role"], "content": content, **_named(turn)}
    if "tool_calls" in turn:
        message["content"] = content or None
        message["tool_calls"] = [_call(one, canonical(one["arguments"])) for one in turn["tool_calls"]]
    return message


def server_part(part: Mapping[str, str], address: Callable[[Mapping[str, str]], str]) -> dict[str, Any]:
    """A part of a content as the OpenAI protocol, and servers that follow it, have it."""
    kind = part["type"]
    if kind == "text":
        return dict(part)
    where = address(part)
    if kind == "audio" and where.startswith("data:"):
        head, _, data = where.partition(",")
        form = {"mpeg": "mp3"}.get(head.partition("/")[2].partition(";")[0], head.partition("/")[2].partition(";")[0])
        return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
    return {"type": f"{kind}_url", f"{kind}_url": {"url": where}}


def with_call_ids(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages whose calls all have ids, which servers want: those without get one by their place, and so do the
    answers to them, in their order."""
    made, waiting, count = [], list[str](), 0
    for turn in turns:
        turn = dict(turn)
        if "tool_calls" in turn:
            calls = []
            for call in turn["tool_calls"]:
                count += 1
                calls.append(call if "id" in call else {**call, "id": f"call_{count:08d}"})
                waiting += [] if "id" in call else [f"call_{count:08d}"]
            turn["tool_calls"] = calls
        elif turn["role"] == "tool" and "tool_call_id" not in turn and waiting:
            turn["tool_call_id"] = waiting.pop(0)
        made.append(turn)
    return made


def _named(turn: Mapping[str, Any]) -> dict[str, str]:
    return {key: turn[key] for key in ("name", "tool_call_id") if key in turn}


def _call(call: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
    named = {"id": call["id"]} if "id" in call else {}
    return {**named, "type": "function", "function": {"name": call["name"], "arguments": arguments}}
