"""Reading a reply's envelope: choices, finish reasons, log-probs and token counts, believed only where they add up."""

from typing import Any, NamedTuple

import orjson


class UnusableError(Exception):
    """A reply that holds no answer; the message says why."""

    def __init__(self, why: str) -> None:
        super().__init__(storable(why))


def storable(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can spell and no table can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


MOST_TOKENS = 2**31
"""A count that is greater is no count."""


class Token(NamedTuple):
    """A token of an answer with its alternatives."""

    text: str
    logprob: float
    top: dict[str, float]


class Choice(NamedTuple):
    """One answer of a reply."""

    text: str
    finish_reason: str | None
    tokens: list[Token]
    """Empty where the server sent no log-probs."""


def envelope(body: str) -> dict[str, Any]:
    """The JSON object of a reply. Raises UnusableError."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnusableError("the reply is no JSON") from None
    if not isinstance(found, dict):
        raise UnusableError("the reply is no JSON object")
    if "choices" not in found and found.get("error"):
        raise UnusableError(f"the reply is an error: {str(found['error'])[:300]}")
    return found


def choices_of(body: str, expected: int = 1, least: int | None = None) -> list[Choice]:
    """The answers in a reply, by index. Raises UnusableError unless there are just as many as were asked for, or with
    `least` between so many and that."""
    found = envelope(body).get("choices")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnusableError("the reply has no list of choices")
    numbers = [one.get("index", place) for place, one in enumerate(found)]
    if len(set(map(str, numbers))) < len(numbers):
        raise UnusableError("the reply has several choices of the same index")
    if not (expected if least is None else least) <= len(found) <= expected:
        raise UnusableError(f"the reply has {len(found)} choices, expected {expected}")
    return [_choice(one) for one in sorted(found, key=lambda one: str(one.get("index", 0)).zfill(6))]


def _choice(one: dict[str, Any]) -> Choice:
    message = one.get("message")
    refusal = message.get("refusal") if isinstance(message, dict) else None
    if isinstance(refusal, str) and refusal:
        return Choice(refusal, "refusal", [])
    text = _text(message.get("content")) if isinstance(message, dict) else one.get("text")
    reason = one.get("finish_reason")
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise UnusableError("the reply's content is no text")
    return Choice(text, reason if isinstance(reason, str) else None, _tokens(one.get("logprobs")))


def _text(content: Any) -> Any:
    """A message's content; some servers send it as a list of parts, of which those with text count."""
    if isinstance(content, list) and all(isinstance(one, dict) for one in content):
        return "".join(one["text"] for one in content if isinstance(one.get("text"), str))
    return content


def _tokens(found: Any) -> list[Token]:
    content = (found.get("content") or _of_completion(found)) if isinstance(found, dict) else None
    if not isinstance(content, list):
        return []
    try:
        return [
            Token(
                one["token"],
                float(one["logprob"]),
                {x["token"]: float(x["logprob"]) for x in one.get("top_logprobs") or []},
            )
            for one in content
        ]
    except (KeyError, TypeError, ValueError):
        return []


def _of_completion(found: dict[str, Any]) -> Any:
    """The log-probs of a text completion, which are lists beside each other, in the shape of a chat's."""
    texts, values, tops = (found.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(texts, list) or not isinstance(values, list) or len(texts) != len(values):
        return None
    if not isinstance(tops, list) or len(tops) != len(texts):
        tops = [None] * len(texts)
    return [
        {"token": text, "logprob": value, "top_logprobs": [{"token": x, "logprob": y} for x, y in (top or {}).items()]}
        for text, value, top in zip(texts, values, (top if isinstance(top, dict) else {} for top in tops), strict=True)
    ]


def answer_of(body: str) -> Choice:
    """The one whole answer of a reply. Raises UnusableError for a truncated, refused or empty one."""
    (choice,) = choices_of(body)
    if choice.finish_reason in {"refusal", "content_filter"}:
        raise UnusableError(f"refused: {choice.text[:200]}")
    if choice.finish_reason == "length":
        raise UnusableError("truncated: the answer reached max_tokens")
    if not choice.text.strip():
        raise UnusableError("the answer is empty")
    return choice


def usage_of(body: str) -> tuple[int, int]:
    """Prompt and completion tokens that a reply states; zeros where it states none."""
    start = body.rfind('"usage"')
    if start < 0:
        return 0, 0
    try:
        usage = orjson.loads(body).get("usage") or {}
        counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    except (orjson.JSONDecodeError, AttributeError):
        return 0, 0
    prompt, completion = (one if isinstance(one, int) and 0 <= one < MOST_TOKENS else 0 for one in counts)
    return prompt, completion
