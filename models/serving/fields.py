"""Fields that a server may refuse, as those of reasoning models do: found out once, then left out or replaced.

What the recipe asks for in so many words and cannot be had is an error; a default just goes unsaid.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.finding import Finding
from pairwright.schemas.errors import JudgeError

TAKES = "takes "
"""Begins the features that say whether a server takes a field."""
VALUED = ("temperature", "top_p", "reasoning_effort")
"""Fields of which a server may take one value and refuse another."""
USUAL = {"temperature": 1.0, "top_p": 1.0}
"""What a server does where the field goes unsaid, so that leaving it out is the same."""
REPLACED = {"max_tokens": "max_completion_tokens"}
"""What goes in place of a field that is refused."""
WITH = {"logprobs": ("top_logprobs",)}
"""Fields that go with another."""
FIXED = {"model", "messages", "prompt", "n", "response_format", "echo", "top_logprobs"}
"""Fields that no call goes without, or that are probed by themselves."""


def feature_of(field: str, value: Any) -> str:
    """What the finding about a field is called: with its value, where that matters."""
    said = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{TAKES}{field}={said}" if field in VALUED else f"{TAKES}{field}"


def features_of(fields: Mapping[str, Any]) -> dict[str, str]:
    """Feature → field, of the fields that calls carry."""
    return {feature_of(name, value): name for name, value in fields.items() if name not in FIXED}


def spared(endpoint: Endpoint) -> set[str]:
    """The features that calls can do without: of fields that the recipe does not ask for."""
    return {name for name, field in features_of(endpoint.fields()).items() if not is_asked_for(endpoint, field)}


def consequence(endpoint: Endpoint, finding: Finding) -> Finding:
    """A finding about a refused field, with what becomes of calls."""
    field = features_of(endpoint.fields()).get(finding.feature)
    if field is None or finding.state != "no":
        return finding
    what = f"calls go with {REPLACED[field]}" if field in REPLACED else "calls go without it"
    fix = "leave it out of the recipe" if is_asked_for(endpoint, field) else what
    return finding._replace(detail=f"{finding.detail}; {fix}")


def fitted(body: dict[str, Any], refused: Iterable[str]) -> dict[str, Any]:
    """A request without the fields that its server refuses, or with what takes their place."""
    for name in refused:
        if name not in body:
            continue
        gone = {name, *WITH.get(name, ())}
        instead = {REPLACED[name]: body[name]} if name in REPLACED else {}
        body = {key: value for key, value in body.items() if key not in gone} | instead
    return body


def refused_in(fields: Mapping[str, Any], found: Mapping[str, Finding]) -> dict[str, Finding]:
    """Field → what was found, of the fields that the server refuses."""
    return {
        field: one
        for feature, field in features_of(fields).items()
        if (one := found.get(feature)) is not None and one.state == "no"
    }


def check(endpoint: Endpoint, refused: Mapping[str, Finding]) -> None:
    """Raises JudgeError where the recipe asks for what the server refuses."""
    for field, found in refused.items():
        if is_asked_for(endpoint, field):
            told, value = (f"extra.{field}" if field in endpoint.extra else field), endpoint.fields()[field]
            same = f", or write {USUAL[field]:g}, which is what it does" if field in USUAL else ""
            raise JudgeError(
                f"{endpoint.base_url}, model {endpoint.model!r} refuses {told}: {_said(value)} ({found.detail}); leave "
                f"{told} out of the recipe{same}; `pairwright doctor` asks again"
            )


def is_asked_for(endpoint: Endpoint, field: str) -> bool:
    """Whether the recipe sets a field, to something else than what a server does without it."""
    if field in REPLACED:
        return False
    if field in endpoint.extra:
        return True
    return field in endpoint.model_fields_set and endpoint.fields().get(field) != USUAL.get(field)


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def blamed(problem: str, fields: Iterable[str]) -> str | None:
    """Which of a request's fields a refusal names: in quotes rather than in passing, the first one of several."""
    spellings = {name: {name, re.sub(r"_(\w)", lambda found: found[1].upper(), name)} for name in fields}
    for quoted in (r"[\'\"`\[.]{}[\'\"`\]]", r"(?<![\w.]){}(?!\w)"):
        places = {
            found.start(): name
            for name, several in spellings.items()
            for one in several
            if (found := re.search(quoted.format(re.escape(one)), problem))
        }
        if places:
            return places[min(places)]
    return None
