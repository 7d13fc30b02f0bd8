"""Reading a reply's envelope: choices, finish reasons, log-probs and token counts, believed only where they add up."""

import math
from typing import Any, NamedTuple

import orjson

LONGEST_REASON = 500
"""Characters of a reason that are kept; the reply itself is kept whole."""
SURE, LEAST = 0.01, -1e6
"""Log-probs lie between these, give or take what rounding to 16 bits adds to certainty."""


class UnusableError(Exception):
    """A reply that holds no answer; the message says why."""

    def __init__(self, why: str) -> None:
        super().__init__(storable(why)[:LONGEST_REASON])


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
    """Empty where the server sent no log-probs, or some that cannot be."""
    without_tokens: str = "the answer came without log-probs"
    """Why there are none."""


def envelope(body: str) -> dict[str, Any]:
    """The JSON object of a reply. Raises UnusableError."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnusableError("the reply is no JSON") from None
    if not isinstance(found, dict):
        raise UnusableError("the reply is no JSON object")
    if "choices" not in found and found.get("error"):
        raise UnusableError(f"the reply is an error: {_told(found['error'])}")
    return found


def _told(error: Any) -> str:
    """The message of an error object, or all of it."""
    message = error.get("message", error) if isinstance(error, dict) else error
    if isinstance(message, str):
        return message
    try:
        return orjson.dumps(message).decode()
    except orjson.JSONEncodeError:  # nested deeper than it can write
        return "of no readable form"


def choices_of(body: str, expected: int = 1, least: int | None = None) -> list[Choice]:
    """The answers in a reply, by index. Raises UnusableError unless there are just as many as were asked for, or with
    `least` between so many and that."""
    found = envelope(body).get("choices")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnusableError("the reply has no list of choices")
    places = {_whole(one.get("index"), place): one for place, one in enumerate(found)}
    if len(places) < len(found):
        raise UnusableError("the reply has several choices of the same index")
    if not (expected if least is None else least) <= len(found) <= expected:
        raise UnusableError(f"the reply has {len(found)} choices, expected {expected}")
    return [_choice(places[place]) for place in sorted(places)]


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


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
    reason = reason if isinstance(reason, str) else None
    try:
        return Choice(text, reason, _tokens(one.get("logprobs")))
    except UnusableError as problem:
        return Choice(text, reason, [], str(problem))


def _text(content: Any) -> Any:
    """A message's content; some servers send it as a list of parts, of which those with text count."""
    if isinstance(content, list) and all(isinstance(one, dict) for one in content):
        return "".join(one["text"] for one in content if isinstance(one.get("text"), str))
    return content


def _tokens(found: Any) -> list[Token]:
    """Raises UnusableError for log-probs that cannot be."""
    content = (found.get("content") or _of_completion(found)) if isinstance(found, dict) else None
    if not isinstance(content, list):
        return []
    try:
        return [
            Token(
                _string(one["token"]),
                logprob_of(one["logprob"]),
                {_string(x["token"]): logprob_of(x["logprob"]) for x in one.get("top_logprobs") or []},
            )
            for one in content
        ]
    except (KeyError, TypeError, AttributeError):
        raise UnusableError("the answer's log-probs are not in the form of the protocol") from None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise UnusableError("a token of the answer's log-probs is no text")
    return value


def logprob_of(value: Any) -> float:
    """A log-probability that can be one. Raises UnusableError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST <= value <= SURE:
        told = f"{value:g}" if isinstance(value, float) and math.isfinite(value) else f"a {type(value).__name__}"
        raise UnusableError(f"a log-prob of the reply is {told}, which is no logarithm of a probability")
    return float(value)


def echoed_of(body: str, count: int) -> list[float]:
    """Log-probs of the tokens of an echoed prompt of `count` tokens, from the second on. Raises UnusableError."""
    found = envelope(body).get("choices")
    choice = found[0] if isinstance(found, list) and found else None
    logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
    listed = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    if not isinstance(listed, list) or not listed:
        raise UnusableError("the reply has no log-probs")
    if len(listed) < count:
        raise UnusableError(f"the reply has {len(listed)} log-probs, expected {count}")
    return [logprob_of(one) for one in listed[1:count]]


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
    """Prompt and completion tokens that a reply states; zeros where it states none that can be."""
    if '"usage"' not in body:
        return 0, 0
    try:
        usage = envelope(body).get("usage")
    except UnusableError:
        return 0, 0
    if not isinstance(usage, dict):
        return 0, 0
    prompt, completion = (_whole(usage.get(f"{name}_tokens"), 0) for name in ("prompt", "completion"))
    return (prompt if 0 <= prompt < MOST_TOKENS else 0), (completion if 0 <= completion < MOST_TOKENS else 0)
