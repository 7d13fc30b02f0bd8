"""What a server can really do, found by asking: many ignore `n`, log-probs and schemas in silence, or shift an echo."""

import asyncio
import math
from collections.abc import Iterable
from typing import Any

from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.fields import features_of, fitted
from pairwright.models.serving.finding import Finding, State
from pairwright.models.serving.probe_fields import ROOM, what_is_taken
from pairwright.models.serving.rate_limit import backoff
from pairwright.models.serving.reply import USUAL as MARKS
from pairwright.models.serving.reply import Choice, UnusableError, choices_of, envelope, logprob_of, usage_of
from pairwright.models.serving.structured import objects_in
from pairwright.models.serving.wire import Wire, hint, open_client, request
from pairwright.schemas.errors import JudgeError

SCHEMA = {
    "type": "object",
    "properties": {"zebra_count": {"type": "integer"}},
    "required": ["zebra_count"],
    "additionalProperties": False,
}
"""Asks for a key that no model would come up with by itself."""
HELLO = "Say hello."
"""What a probe says."""
AGAIN = 3
"""Requests for one probe, where the server is busy or breaks off."""
LONGEST_ANSWER, LONGEST_PAUSE = 60.0, 5.0
"""Seconds to wait for one."""
FEW = 24
"""Tokens of an answer to a probe."""
CLOSE = 0.05
"""Nats that an echoed log-prob may be off the generated one's."""


def probe(
    endpoint: Endpoint, features: set[str], path: str = "/chat/completions", gone: Iterable[str] = ()
) -> list[Finding]:
    """Probe the path, and of limits, n, logprobs, schema, echo and the fields that calls carry those in `features`;
    echo alone wants no path. The fields `gone` are known to be refused.

    A call of a few tokens each; refusals are free. `unknown` is what a busy or broken server leaves open. Raises
    JudgeError when the server cannot be reached or refuses the model.
    """
    return asyncio.run(_probe(endpoint, features, path, dict.fromkeys(gone, "")))


async def _probe(endpoint: Endpoint, features: set[str], path: str, refused: dict[str, str]) -> list[Finding]:
    said = {"messages": [{"role": "user", "content": HELLO}]} if path.startswith("/chat") else {"prompt": HELLO}
    async with open_client(endpoint) as client:

        async def post(to: str, **body: Any) -> Wire:
            return await _post(client, endpoint, to, {"model": endpoint.model, **body})

        found = list[Finding]()
        told = {name: field for name, field in features_of(endpoint.fields()).items() if name in features}
        carried = {field: endpoint.fields()[field] for field in told.values()} or {"temperature": 0, "seed": 1}
        carried["max_tokens"] = FEW
        if features != {"echo"}:
            first, refused = await what_is_taken(lambda body: post(path, **said, **body), carried, refused)
            found.append(_chat(endpoint, first))
            if first.body is None:  # what is refused even without the feature says nothing about it
                return [*found, *(Finding(one, "unknown", first.problem or "no answer") for one in sorted(features))]
            found += [Finding(x, "no" if y in refused else "yes", refused.get(y, "")) for x, y in told.items()]
            if "limits" in features:
                found.append(_limits(endpoint, first))
            if (thinks := _reasoning(first)) is not None:
                found.append(thinks)
                carried["max_tokens"] = ROOM

        async def talk(**extra: Any) -> Wire:
            body = {**carried, **extra} | ({"max_tokens": ROOM} if carried["max_tokens"] == ROOM else {})
            return await post(path, **said, **fitted(body, refused))

        if "n" in features:
            found.append(_n(await talk(n=2, temperature=1)))
        if "logprobs" in features:
            chat = {"logprobs": True, "top_logprobs": 5}
            found.append(_logprobs(await talk(**(chat if path.startswith("/chat") else {"logprobs": 5}))))
        if "schema" in features:
            form = {"type": "json_schema", "json_schema": {"name": "probe", "strict": True, "schema": SCHEMA}}
            found.append(_schema(await talk(response_format=form, max_tokens=64)))
        if "echo" in features:
            found.append(await _echo(lambda to, **body: post(to, **{"temperature": 0, "seed": 1, **body})))
        return found


async def _post(client: Any, endpoint: Endpoint, path: str, body: dict[str, Any]) -> Wire:
    """One request, again where it may only have come at a bad moment."""
    wire = Wire(problem="no answer within the deadline", kind="silent")
    for number in range(AGAIN):
        if number:
            await asyncio.sleep(min(wire.wait if wire.wait is not None else backoff(number), LONGEST_PAUSE))
        try:
            async with asyncio.timeout(min(endpoint.deadline, LONGEST_ANSWER)):
                wire = await request(client, path, body, endpoint.secret)
        except TimeoutError:
            return Wire(problem="no answer within the deadline", kind="silent")
        if wire.kind not in {"busy", "broken"}:
            break
    return wire


def small(body: dict[str, Any]) -> dict[str, Any]:
    """A request with the same options, but a few words to go by and one short answer to give."""
    said = {"messages": [{"role": "user", "content": HELLO}]} if "messages" in body else {"prompt": HELLO}
    rest = {key: value for key, value in body.items() if key != "n"}
    most: dict[str, Any] = {
        name: min(FEW, body[name]) for name in ("max_tokens", "max_completion_tokens") if name in body
    }
    return {**rest, **said, **most}


def _reasoning(wire: Wire) -> Finding | None:
    """How a model's reasoning comes, if it thinks before it answers."""
    choice, counted = _one(wire), usage_of(wire.body or "").reasoning
    if isinstance(choice, str) or not (choice.reasoning or counted or choice.text.lstrip().startswith(MARKS.open)):
        return None
    sent = "sends its reasoning apart" if choice.reasoning else "keeps its reasoning to itself"
    if not choice.reasoning and choice.text.lstrip().startswith(MARKS.open):
        sent = f"writes its reasoning into the text; set thinking: {{open: {MARKS.open}, close: {MARKS.close}}}"
    return Finding("reasoning", "yes", sent + (", and counts its tokens" if counted else ""))


def _chat(endpoint: Endpoint, wire: Wire) -> Finding:
    if wire.body is None:
        if wire.kind in {"busy", "unfit", "broken"} and wire.heard:
            return Finding("chat", "unknown", wire.problem or "")
        raise JudgeError(f"{endpoint.base_url}, model {endpoint.model!r}: {wire.problem}{hint(endpoint, wire)}")
    try:
        choices_of(wire.body)
    except UnusableError as problem:
        return Finding("chat", "no", str(problem))
    usage = "usage" in envelope(wire.body)
    return Finding("chat", "yes", "counts tokens" if usage else "does not count tokens: cost stays an estimate")


def _limits(endpoint: Endpoint, wire: Wire) -> Finding:
    """What the server says it allows a minute, beside what the recipe keeps to."""
    stated = {
        name: int(value) for name, value in zip(("rpm", "tpm"), wire.limits, strict=True) if value and value.isdigit()
    }
    if not stated:
        return Finding("limits", "unknown", "the server states none; calls give way when it pushes back")
    allowed = ", ".join(f"{name}: {value}" for name, value in stated.items())
    kept = {name: getattr(endpoint, name) for name in stated}
    if all(kept[name] is not None and kept[name] <= value for name, value in stated.items()):
        return Finding("limits", "yes", f"the server states {allowed}; the recipe keeps to it")
    return Finding("limits", "no", f"the server states {allowed}; set that, or calls wait when it pushes back")


def _n(wire: Wire) -> Finding:
    if wire.body is None:
        return Finding("n", _refused(wire), f"n=2: {wire.problem}")
    for expected in (2, 1):
        try:
            choices_of(wire.body, expected)
        except UnusableError:
            continue
        said = (
            "two answers to one call" if expected == 2 else "n=2 was ignored in silence; samples are drawn one by one"
        )
        return Finding("n", "yes" if expected == 2 else "no", said)
    return Finding("n", "unknown", "the reply to n=2 makes no sense; samples that are missing are drawn one by one")


WITHOUT_LOGPROBS = "set logprobs: false, or for a judge logprobs: optional"


def _refused(wire: Wire) -> State:
    """No, where the server turned the request down; unknown, where it gave no answer that can be read."""
    return "no" if wire.kind in {"unfit", "refused"} else "unknown"


def _logprobs(wire: Wire) -> Finding:
    choice = _one(wire)
    if isinstance(choice, str):
        refused = _refused(wire)
        return Finding("logprobs", refused, f"{choice}; {WITHOUT_LOGPROBS}" if refused == "no" else choice)
    if not choice.tokens:
        ignored = choice.without_tokens == Choice("", None, []).without_tokens
        said = "logprobs was ignored in silence" if ignored else choice.without_tokens
        return Finding("logprobs", "no", f"{said}; {WITHOUT_LOGPROBS}")
    if not any(token.top for token in choice.tokens):
        return Finding("logprobs", "no", f"log-probs without alternatives; {WITHOUT_LOGPROBS}")
    return Finding("logprobs", "yes", f"{len(choice.tokens[0].top)} alternatives a token")


def _schema(wire: Wire) -> Finding:
    choice = _one(wire)
    if isinstance(choice, str):
        return Finding("schema", _refused(wire), f"{choice}; calls go without response_format")
    whole = [one for one in objects_in(choice.text) if set(one) == {"zebra_count"}]
    if whole and isinstance(whole[0]["zebra_count"], int):
        return Finding("schema", "yes", "answers keep to a JSON schema")
    if not choice.text.strip() or choice.finish_reason == "length":
        return Finding("schema", "unknown", "the answer was empty or cut short")
    return Finding("schema", "no", "the schema was ignored in silence; answers are checked, and fail more often")


async def _echo(post: Any) -> Finding:
    """Generate some tokens with log-probs, then have the whole text echoed: both must tell the same."""
    prompt = "One two three four five"
    first = await post("/completions", prompt=prompt, max_tokens=4, logprobs=1)
    made = _text_logprobs(first)
    if isinstance(made, str):
        return Finding("echo", "no" if first.body is not None else _refused(first), made)
    again = await post("/completions", prompt=prompt + "".join(made[0]), max_tokens=0, logprobs=1, echo=True)
    echoed = _text_logprobs(again)
    if isinstance(echoed, str):
        return Finding("echo", "no" if again.body is not None else _refused(again), echoed)
    count = len(made[1])
    if len(echoed[1]) <= count or echoed[0][-count:] != made[0]:
        return Finding("echo", "unknown", "the echoed text was cut into other tokens")
    pairs = list(zip(made[1], echoed[1][-count:], strict=True))
    worst = max((abs(a - b) if a is not None and b is not None else math.inf) for a, b in pairs)
    if worst > CLOSE:
        return Finding("echo", "no", f"echoed log-probs are off by {worst:.2f} nats: they belong to other tokens")
    return Finding("echo", "yes", f"agrees with generation to {worst:.4f} nats")


def _text_logprobs(wire: Wire) -> tuple[list[str], list[float | None]] | str:
    if wire.body is None:
        return str(wire.problem)
    try:
        found: Any = envelope(wire.body)
        for step in ("choices", 0, "logprobs"):
            found = found[step]
        tokens, values = found["tokens"], found["token_logprobs"]
    except (UnusableError, KeyError, TypeError, IndexError):
        return "log-probs of text completions were ignored in silence"
    if not isinstance(tokens, list) or not isinstance(values, list) or not tokens or len(tokens) != len(values):
        return "log-probs of text completions came back empty"
    if not all(isinstance(one, str) for one in tokens):
        return "tokens of text completions are no texts"
    try:
        return tokens, [None if one is None else logprob_of(one) for one in values]
    except UnusableError as problem:
        return str(problem)


def _one(wire: Wire) -> Choice | str:
    try:
        return str(wire.problem) if wire.body is None else choices_of(wire.body)[0]
    except UnusableError as problem:
        return str(problem)
