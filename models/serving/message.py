"""What a message of a reply holds: its text, its reasoning and its calls of tools, in the forms that servers have."""

from typing import Any

from pairwright.models.serving.unusable import UnusableError, storable
from pairwright.schemas.tool_calls import canonical, read_tool_calls

THOUGHT = ("reasoning_content", "reasoning")
"""What servers call the field of a message that holds its reasoning."""


def text_of(content: Any) -> Any:
    """A message's content; some servers send it as a list of parts, of which those with text count."""
    if isinstance(content, list) and all(isinstance(one, dict) for one in content):
        return "".join(one["text"] for one in content if isinstance(one.get("text"), str))
    return content


def beside(message: dict[str, Any]) -> dict[str, str]:
    """What a message holds beside its text: its reasoning, and the tools that it calls."""
    thought = next((one for name in THOUGHT if isinstance(one := message.get(name), str) and one.strip()), None)
    if thought is None:
        parts = [message.get("reasoning_details"), message.get("content")]
        thought = "".join(one for listed in parts if isinstance(listed, list) for one in map(_thought, listed))
    calls = calls_json(message.get("tool_calls"))
    found = {"reasoning": storable(thought.strip()) if thought else None, "tool_calls": calls}
    return {name: one for name, one in found.items() if one}


def _thought(part: Any) -> str:
    """The text of a part of reasoning, of which servers have several forms; nothing for other parts."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or not kind.startswith(("thinking", "reasoning")):
        return ""
    told = next((one for name in ("thinking", "text", "summary") if (one := part.get(name))), "")
    if isinstance(told, list):
        return "".join(one["text"] for one in told if isinstance(one, dict) and isinstance(one.get("text"), str))
    return told if isinstance(told, str) else ""


def calls_json(listed: Any) -> str | None:
    """A message's calls of tools as canonical JSON. Raises UnusableError for calls that are none."""
    if not listed:
        return None
    try:
        return storable(canonical(read_tool_calls(listed, "the reply")))
    except ValueError as error:
        raise UnusableError(str(error)) from None
