"""Reading gold: pairs of responses with a human label, each used, tied, or left out for a reason that is counted."""

import glob
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.intake.columns import NO_COLUMNS, Columns
from pairwright.assets.intake.conform_rows import by_row
from pairwright.assets.intake.readers import open_source
from pairwright.assets.intake.records import Records
from pairwright.schemas.errors import SourceError, one_line, short
from pairwright.schemas.ids import prompt_id, response_id
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.sources import ColumnMap, Source
from pairwright.schemas.tables import MESSAGES

LABELS = ("a", "b", "tie")
NEEDED = ("prompt", "response_a", "response_b", "human_label")
MAY_HAVE = ("references", "domain")
NO_GROUP = "(none)"
"""What pairs are grouped under that have no value in the column."""
_SCHEMA: dict[str, Any] = {
    "number": pl.UInt64,
    "prompt_id": pl.String,
    "id_a": pl.String,
    "id_b": pl.String,
    "prompt": MESSAGES,
    "response_a": pl.String,
    "response_b": pl.String,
    "references": pl.List(pl.String),
    "domain": pl.String,
    "won": pl.Float64,
    "groups": pl.List(pl.String),
}


class Gold(NamedTuple):
    """Labelled pairs, and what became of the rows that they were read from."""

    pairs: pl.DataFrame
    """number (from 1, in the order read), ids and texts, `won` (1 where the label says a, 0 for b, null for a tie)
    and `groups`, the values of the column to report by."""
    rows: int
    left_out: dict[str, int]
    """Rows that are no pair, by reason."""


def find_gold(gold: Path, recipe: Recipe) -> Path:
    """Where gold lies: under the working directory, else beside the recipe. Raises SourceError naming both places."""
    places = list(dict.fromkeys([Path.cwd() / gold, recipe.path.parent.resolve() / gold]))
    for place in places:
        try:
            if place.exists() or glob.glob(str(place)):  # noqa: PTH207 - absolute patterns
                return place.resolve()
        except (OSError, ValueError):  # a name that is too long to be one
            continue
    raise SourceError(f"no gold at {one_line(' nor at '.join(map(str, places)))}")


def read_gold(path: Path, by: str | None = None) -> Gold:
    """The labelled pairs of a file. Raises SourceError for a column that is missing, and for an unknown label."""
    pairs: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    names: dict[str, None] = {}
    rows = 0
    wanted = [*NEEDED, *MAY_HAVE, *([by] if by else [])]
    for part in open_source(Source(source=str(path)), Path()).each_part(also=wanted):
        names.update(dict.fromkeys(part.names))
        missing = [name for name in NEEDED if name not in part.names]
        if missing:
            raise SourceError(f"{part.label}: no column {missing[0]!r}; it has {', '.join(part.names)}")
        columns = [*NEEDED, *(name for name in MAY_HAVE if name in part.names)]
        for one in (one for records in part.records(wanted) for one in _pairs(records, columns, by)):
            rows += 1
            if isinstance(one, str):
                reasons[one] += 1
            else:
                pairs.append({**one, "number": len(pairs) + 1})
    if by is not None and by not in names:
        raise SourceError(f"{path}: no column {short(by)} to group by; it has {one_line(', '.join(names))}")
    if not pairs:
        why = "; ".join(f"{count:,}: {reason}" for reason, count in reasons.most_common(3))
        raise SourceError(f"{path} holds no rows with a prompt, two responses and a label ({why or 'it is empty'})")
    return Gold(pl.DataFrame(pairs, schema=_SCHEMA), rows, dict(reasons.most_common()))


def _pairs(records: Records, names: list[str], by: str | None) -> Iterator[dict[str, Any] | str]:
    """Each row as a pair, or why it is none."""
    objects = _objects(records, {*names, *([by] if by else [])})
    columns = _columns(names)
    for (number, record, _), row in zip(objects, by_row(objects, columns).iter_rows(named=True), strict=True):
        if row["bad"] is not None:
            yield row["bad"]
            continue
        texts = [record.get(name) for name in ("response_a", "response_b")]
        absent = [name for name in NEEDED[1:] if record.get(name) is None]
        if absent:
            yield f"{absent[0]} is missing"
        elif texts[0] == texts[1]:
            yield "both responses are the same text"
        else:
            yield {
                **_identified(row["messages"], texts),
                "prompt": row["messages"],
                "references": row["references"],
                "domain": row["domain"],
                "won": _won(record["human_label"], f"{records.part}, row {number}"),
                "groups": _groups(record.get(by)) if by else [],
            }


def _objects(records: Records, wanted: set[str]) -> list[tuple[int, Any, str | None]]:
    if records.frame is None:
        return records.objects
    frame = records.frame.select(name for name in records.frame.columns if name in wanted)
    return [(number, row, None) for number, row in enumerate(frame.to_dicts(), start=records.first)]


def _columns(names: list[str]) -> Columns:
    """Only the columns that gold may have: what else a file says of a prompt is no reason to tell its rows apart."""
    return NO_COLUMNS._replace(
        prompt="prompt",
        responses=["response_a", "response_b"],
        references=[name for name in ("references",) if name in names],
        texts={name: name for name in ("domain",) if name in names},
    )


def _identified(messages: list[dict[str, str]], texts: list[str]) -> dict[str, str]:
    prompt = prompt_id(messages)
    return {
        "prompt_id": prompt,
        "id_a": response_id(prompt, texts[0]),
        "id_b": response_id(prompt, texts[1]),
        "response_a": texts[0],
        "response_b": texts[1],
    }


def _won(label: Any, where: str) -> float | None:
    name = str(label).strip().lower()
    if name not in LABELS:
        raise SourceError(f"{where}: human_label {short(label)} is unknown; allowed: {', '.join(LABELS)}")
    return {"a": 1.0, "b": 0.0}.get(name)


def _groups(value: Any) -> list[str]:
    """The groups of a pair: its value, or each value of a list."""
    if isinstance(value, list):
        return sorted({label for one in value for label in _groups(one)}) or [NO_GROUP]
    if value is None:
        return [NO_GROUP]
    return [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)]


def as_source(path: Path) -> Source:
    """The source that a file of `source_rows` is."""
    columns = ColumnMap(
        prompt="prompt", responses=["response_a", "response_b"], references="references", domain="domain"
    )
    return Source(source=str(path), columns=columns)


def source_rows(gold: Gold) -> pl.DataFrame:
    """What the judges are asked about: the pairs without their labels."""
    return gold.pairs.select("prompt", "response_a", "response_b", "references", "domain")
