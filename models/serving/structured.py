"""Structured answers: the JSON object that a model is told to write, in the form that servers take."""

import json
from typing import Any

_DECODER = json.JSONDecoder(strict=False)
"""Not strict about line breaks inside strings, which models often leave unescaped."""


def object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of an object with these properties, all required, in this order, and none else."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def array_schema(items: dict[str, Any], count: int) -> dict[str, Any]:
    """JSON schema of a list of just so many items.

    It does not say that they differ: OpenAI's strict schemas and xgrammar, the usual grammar of vLLM, know no
    `uniqueItems`, and a request with it may fail whole. Whoever reads the answer checks it.
    """
    return {"type": "array", "items": items, "minItems": count, "maxItems": count}


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """The field of a chat request that asks for an answer of this schema."""
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}


def objects_in(text: str) -> list[dict[str, Any]]:
    """Every outermost JSON object in a text, in order: in fences, behind a preamble, in bold."""
    found: list[dict[str, Any]] = []
    place = text.find("{")
    while place >= 0:
        try:
            value, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):  # among them a number of more digits than Python reads
            place = text.find("{", place + 1)
            continue
        if isinstance(value, dict):
            found.append(value)
        place = text.find("{", end)
    return found
