"""Reading a reply's envelope: choices, finish reasons, log-probs and token counts, believed only where they add up."""

import math
from typing import Any, NamedTuple

import orjson

from pairwright.models.serving.message import beside, text_of
from pairwright.models.serving.unusable import UnusableError as UnusableError
from pairwright.models.serving.unusable import storable as storable
from pairwright.schemas.served import Thinking

SURE, LEAST = 0.01, -1e6
"""Log-probs lie between these, give or take what rounding to 16 bits adds to certainty."""


MOST_TOKENS = 2**31
"""A count that is greater is no count."""
CUT_THINKING = "truncated thinking"
"""How the reasons begin of answers that were never come to."""
USUAL = Thinking()
"""The marks of reasoning in a text that are known without being told."""


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
    reasoning: str | None = None
    """What the model thought before, where the server sends it apart."""
    tool_calls: str | None = None
    """Canonical JSON of a list of {id, name, arguments}."""


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
    text = text_of(message.get("content")) if isinstance(message, dict) else one.get("text")
    reason = one.get("finish_reason")
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise UnusableError("the reply's content is no text")
    reason = reason if isinstance(reason, str) else None
    further = beside(message) if isinstance(message, dict) else {}
    try:
        return Choice(text, reason, _tokens(one.get("logprobs")), **further)
    except UnusableError as problem:
        return Choice(text, reason, [], str(problem), **further)


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


def answer_of(body: str, marks: Thinking | None = None) -> Choice:
    """The one whole answer of a reply. Raises UnusableError for a truncated, refused or empty one; `marks` tell whether
    it was cut in its reasoning."""
    (choice,) = choices_of(body)
    if choice.finish_reason in {"refusal", "content_filter"}:
        raise UnusableError(f"refused: {choice.text[:200]}")
    if choice.finish_reason == "length":
        raise UnusableError(cut(choice, body, marks or USUAL) or "truncated: the answer reached max_tokens")
    if not choice.text.strip():
        raise UnusableError("the answer is empty")
    return choice


def cut(choice: Choice, body: str, marks: Thinking = USUAL) -> str | None:
    """Why a reply holds no answer, where all of max_tokens went into the reasoning before it."""
    text = choice.text.strip()
    if choice.finish_reason != "length":
        return None
    thinks = text.startswith(marks.open) and marks.close not in text
    if not thinks if text else choice.reasoning is None and not usage_of(body).reasoning:
        return None
    return f"{CUT_THINKING}: max_tokens was reached before the answer; raise max_tokens, or lower reasoning_effort"


class Usage(NamedTuple):
    """Tokens of a reply."""

    prompt: int = 0
    completion: int = 0
    """Those of the reasoning among them."""
    reasoning: int = 0


def usage_of(body: str) -> Usage:
    """What a reply states; zeros where it states none that can be."""
    if '"usage"' not in body:
        return Usage()
    try:
        usage = envelope(body).get("usage")
    except UnusableError:
        return Usage()
    if not isinstance(usage, dict):
        return Usage()
    details = usage.get("completion_tokens_details")
    thought = _count(details.get("reasoning_tokens")) if isinstance(details, dict) else 0
    prompt, completion, total = (_count(usage.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    if thought and total == prompt + completion + thought:  # some servers count the reasoning apart
        completion += thought
    return Usage(prompt, completion, min(thought, completion))


def _count(value: Any) -> int:
    found = _whole(value, 0)
    return found if 0 <= found < MOST_TOKENS else 0
