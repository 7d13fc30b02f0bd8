"""Gold pairs as a source of their own: what the judges are asked about, without the labels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pairwright.assets.auditing.gold import Gold
from pairwright.schemas.conversation import turns_of
from pairwright.schemas.files import replacing
from pairwright.schemas.sources import ColumnMap, Source

COLUMNS = ColumnMap(
    prompt="prompt", tools="tools", responses=["response_a", "response_b"], references="references", domain="domain"
)


def write_source(gold: Gold, path: Path) -> Source:
    """Write the pairs as JSON Lines, a row each in their order; the source that the file is."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(gold))
    return Source(source=str(path), columns=COLUMNS)


def _rows(gold: Gold) -> Iterator[dict[str, Any]]:
    for row in gold.pairs.iter_rows(named=True):
        yield {
            "prompt": turns_of(row["prompt"], row["typed"]),
            "tools": row["tools"],
            "response_a": _response(row["response_a"], row["beside_a"]),
            "response_b": _response(row["response_b"], row["beside_b"]),
            "references": row["references"],
            "domain": row["domain"],
        }


def _response(text: str, beside: dict[str, Any]) -> Any:
    """A text, or the assistant's message where there is more than that."""
    if not any(beside.values()):
        return text
    calls = json.loads(beside["tool_calls"]) if beside["tool_calls"] else None
    return {"role": "assistant", "content": text, "reasoning": beside["reasoning"], "tool_calls": calls}
