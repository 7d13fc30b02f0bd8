"""Tools and calls of them, in the spellings that data sets and servers have, as one canonical form.

A call is {"id", "name", "arguments"}, its id left out where there is none; a tool is OpenAI's
{"type": "function", "function": {"name", "description", "parameters"}}. Arguments and parameters may stand as objects
or as JSON texts. A text is taken as it stands. In an object, what is null counts as absent: tables with types put a
null wherever another row has something.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pairwright.schemas.errors import short

DEEPEST = 64
"""Levels of nesting in arguments or in a JSON Schema."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same bytes for the same content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read_tool_calls(value: Any, place: str) -> list[dict[str, Any]]:
    """The calls of one turn. Raises ValueError saying which of them is none, and why."""
    value = _unpacked(value, f"{place}: tool_calls")
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{place}: tool_calls is {short(value)}, expected a list of calls")
    calls = [read_tool_call(one, f"{place}: tool call {number}") for number, one in enumerate(value, start=1)]
    named = [one["id"] for one in calls if "id" in one]
    if named and len(named) < len(calls):
        without = next(number for number, one in enumerate(calls, start=1) if "id" not in one)
        raise ValueError(f"{place}: tool call {without} has no id, while others of the turn have; give all or none")
    if len(set(named)) < len(named):
        raise ValueError(f"{place}: two tool calls have the same id; answers could not be told apart")
    return calls


def read_tool_call(value: Any, place: str) -> dict[str, Any]:
    """One call, in any spelling: with `function`, flat, or as a JSON text. Raises ValueError."""
    value = _unpacked(value, place)
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {short(value)}, expected an object with name and arguments")
    kind = value.get("type")
    if kind not in (None, "", "function"):
        raise ValueError(f"{place} has type {short(kind)}; allowed: function")
    inner = value.get("function")
    body = inner if isinstance(inner, Mapping) else value
    arguments = body.get("arguments")
    call: dict[str, Any] = {
        "name": _name(body.get("name"), place),
        "arguments": {} if arguments in (None, "") else _object(arguments, f"{place}: arguments"),
    }
    identity = value.get("id")
    if identity not in (None, ""):
        call["id"] = _text(identity, f"{place}: id")
    return call


def read_tools(value: Any, place: str) -> list[dict[str, Any]]:
    """The tools that a prompt carries, none for null and the empty list. Raises ValueError saying which is none."""
    value = _unpacked(value, place)
    if value is None:
        return []
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list):
        raise ValueError(f"{place} is {short(value)}, expected a list of tools")
    tools = [_tool(one, f"{place}: tool {number}") for number, one in enumerate(value, start=1)]
    names = [one["function"]["name"] for one in tools]
    twice = next((name for position, name in enumerate(names) if name in names[:position]), None)
    if twice is not None:
        raise ValueError(f"{place} has two tools {twice!r}; calls of them could not be told apart")
    return tools


def _tool(value: Any, place: str) -> dict[str, Any]:
    value = _unpacked(value, place)
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {short(value)}, expected an object with name and parameters")
    kind = value.get("type")
    inner = value.get("function")
    if kind not in (None, "", "function") and not isinstance(inner, Mapping):
        raise ValueError(f"{place} has type {short(kind)}; allowed: function")
    body = inner if isinstance(inner, Mapping) else value
    function: dict[str, Any] = {"name": _name(body.get("name"), place)}
    if body.get("description") not in (None, ""):
        function["description"] = _text(body["description"], f"{place}: description")
    parameters = body.get("parameters", body.get("input_schema"))
    if parameters not in (None, ""):
        function["parameters"] = _object(parameters, f"{place}: parameters")
    if body.get("strict") is not None:
        function["strict"] = bool(body["strict"])
    if body.get("return") not in (None, ""):  # transformers' own
        function["return"] = _object(body["return"], f"{place}: return")
    return {"type": "function", "function": function}


def tools_of(stored: str) -> list[dict[str, Any]]:
    """The tools in canonical JSON as servers and chat templates are given them: keys in their usual order, which
    templates that print tools show to the model."""
    return [
        {"type": "function", "function": _ordered(one["function"], ("name", "description", "parameters"))}
        for one in json.loads(stored)
    ]


def _ordered(content: Mapping[str, Any], first: tuple[str, ...]) -> dict[str, Any]:
    made = {key: content[key] for key in first if key in content} | dict(content)
    if isinstance(made.get("parameters"), Mapping):
        made["parameters"] = _ordered(made["parameters"], ("type", "properties", "required"))
    return made


def check_answers(messages: Iterable[Mapping[str, Any]], place: str) -> None:
    """That every tool's turn answers a call made before it. Raises ValueError naming the turn that does not.

    A turn without a `tool_call_id` answers the oldest open call; one with an id needs the call that has it.
    """
    waiting: list[dict[str, Any]] = []
    for turn, message in enumerate(messages, start=1):
        waiting += message.get("tool_calls", [])
        if message["role"] != "tool":
            continue
        wanted = message.get("tool_call_id")
        if wanted is None:
            if waiting and "id" in waiting[0]:
                raise ValueError(f"{place}: turn {turn} is a tool's answer without tool_call_id, while calls have ids")
            del waiting[:1]
            continue
        found = next((one for one in waiting if one.get("id") == wanted), None)
        if found is None:
            raise ValueError(f"{place}: turn {turn} answers the tool call {short(wanted)}, which no turn before makes")
        waiting.remove(found)


def pruned(value: Any, depth: int = 0) -> Any:
    """A value without the nulls in its objects. Raises ValueError where it is no JSON, or nested too deeply."""
    if depth > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} levels deep")
    if isinstance(value, Mapping):
        return {str(key): pruned(one, depth + 1) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [pruned(one, depth + 1) for one in value]
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    raise ValueError(f"holds {short(value)}, which is no JSON")


def _object(value: Any, place: str) -> dict[str, Any]:
    given = isinstance(value, str)
    value = _parsed(value, place) if given else value
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {short(value)}, expected a JSON object")
    try:
        made = dict(value) if given else pruned(value)
        canonical(made).encode()
    except RecursionError:
        raise ValueError(f"{place} is nested more than {DEEPEST} levels deep") from None
    except ValueError as error:
        why = "is not valid JSON" if isinstance(error, UnicodeEncodeError) or "Out of range" in str(error) else error
        raise ValueError(f"{place} {why}") from None
    return dict(made)


def _unpacked(value: Any, place: str) -> Any:
    """A JSON text as what it says; everything else as it is."""
    if not isinstance(value, str):
        return value
    return _parsed(value, place) if value.strip() else None


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ValueError(f"{place} is {short(text)}, which is not valid JSON") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _name(value: Any, place: str) -> str:
    name = _text(value, f"{place}: name") if value is not None else ""
    if not name.strip():
        raise ValueError(f"{place} has no name")
    return name


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{place} is {short(value)}, expected a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{place} is not valid Unicode") from None
    return value
