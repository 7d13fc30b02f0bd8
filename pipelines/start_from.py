"""`pairwright init --from`: a recipe for data that somebody has, by what its columns look like."""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pairwright.assets.intake.labelled_rows import labelled
from pairwright.assets.intake.readers import open_source
from pairwright.assets.intake.records import Part
from pairwright.assets.intake.shapes import (
    KEPT,
    LABELS,
    PROMPTS,
    RESPONSE,
    RESPONSES,
    Shape,
    known_names,
    recognised,
)
from pairwright.pipelines.start import write_new
from pairwright.schemas.errors import SourceError, one_line
from pairwright.schemas.label_columns import RANK
from pairwright.schemas.recipe import TAKEN
from pairwright.schemas.sources import ColumnMap, Source

LOOKED_AT = 200
"""Rows that are read to see whether they have the shape."""
RESERVED = ("yes", "no", "true", "false", "null", "on", "off", "y", "n")
"""Words that YAML takes for something else than a text."""
ITEM_SCORES = ("overall_score", "score", "reward", "rating")
"""Fields of completions that are taken as their score."""


class Look(NamedTuple):
    """What a source looks like."""

    names: list[str]
    shape: Shape | None
    records: list[Mapping[str, Any]]
    unsure: list[str]


def start_from(folder: Path, source: str) -> list[Path]:
    """Write recipe.yaml and recipe.schema.json for a source; their paths.

    Raises SourceError for a source that cannot be read or has nothing that could be a prompt, and PairwrightError where
    one of the files is there already.
    """
    look = _look(source)
    return write_new(folder, {"recipe.yaml": recipe_for(_from_folder(source, folder), look)})


def _from_folder(source: str, folder: Path) -> str:
    """The source's name as seen from the recipe's folder."""
    return source if source.startswith("hf://") else os.path.relpath(Path(source).resolve(), folder.resolve())


def _look(source: str) -> Look:
    """Read the first rows. Raises SourceError."""
    columns = ColumnMap(chosen="chosen") if (Path(source) / "pairs").is_dir() else ColumnMap()
    part = next(open_source(Source(source=source, columns=columns), Path()).each_part(also=known_names()))
    shape = recognised(part.names)
    if shape is None and not _first(PROMPTS, part.names):
        raise SourceError(f"{source}: no column looks like a prompt; it has {one_line(', '.join(part.names))}")
    records = _records(part)
    found = Look(part.names, shape, records, [])
    return found._replace(unsure=_unsure(found)) if shape else found


def _records(part: Part) -> list[Mapping[str, Any]]:
    for records in part.records(None):
        if records.frame is not None:
            return list(records.frame.head(LOOKED_AT).to_dicts())
        return [
            one for _, one, reason in islice(records.objects, LOOKED_AT) if reason is None and isinstance(one, dict)
        ]
    return []


def _unsure(look: Look) -> list[str]:
    """What of the shape may be otherwise."""
    shape, told = look.shape, list[str]()
    assert shape is not None
    others = [name for name in LABELS if name in look.names and name not in (shape.label, *(shape.sides or ()))]
    if shape.label and others:
        told.append(f"label: taken from {shape.label}; {', '.join(others)} could be it, too")
    prompts = [name for name in PROMPTS if name in look.names and name != shape.prompt]
    if shape.prompt and prompts and shape.completions is None:
        told.append(f"prompt: taken from {shape.prompt}; {', '.join(prompts)} could be it, too")
    reasons, kinds = Counter[str](), Counter[Any]()
    for record in look.records:
        try:
            row = labelled(record, shape)
        except SourceError:
            told.append(f"{shape.label} holds 0: say which side 0 and 1 stand for, under `labels`; a guess is written")
            break
        except ValueError as error:
            reasons[str(error)] += 1
            continue
        failures = [*(one.failure for one in row.votes), *(one.failure for one in row.scores)]
        reasons.update(filter(None, failures))
        kinds.update(one.won for one in row.votes)
    rows = len(look.records)
    told += [f"{count} of the first {rows} rows: {one_line(why, 100)}" for why, count in reasons.most_common(3)]
    if shape.label and len(kinds) == 1 and rows > 20:
        told.append(f"the first {rows} labels all say the same: {shape.label} may be no label")
    return told


def recipe_for(source: str, look: Look) -> str:
    """The recipe's text."""
    columns = _columns(look)
    name = re.sub(
        r"[^a-z0-9]+", "-", Path(source).stem.lower() if "://" not in source else source.split("/")[-1].lower()
    )
    shape = f"# read as {look.shape.told()}" if look.shape else "# prompts, and nothing that is said of responses"
    lines = [
        "# yaml-language-server: $schema=recipe.schema.json",
        f"dataset: {name.strip('-')[:60] or 'my-preferences'}",
        "",
        "prompts:",
        f"  source: {json.dumps(source, ensure_ascii=False)}",
        f"  {shape}; its columns: {one_line(', '.join(look.names), 200)}",
        *(f"  # UNSURE: {one}" for one in look.unsure),
        "  columns:",
        *(f"    {field}: {_yaml(value)}" for field, value in columns.items()),
        "",
        "shards: 4                          # more for more data: memory is bounded by a shard",
        "",
        "judges:",
        *_judges(look, columns),
        "",
        "filters:",
        *_filters(columns),
        "",
        "release: {test_fraction: 0.05}",
    ]
    return "\n".join(lines) + "\n"


def _columns(look: Look) -> dict[str, Any]:
    """The column map: ours → theirs."""
    kept: dict[str, Any] = {name: name for name in KEPT if name in look.names}
    shape = look.shape
    if shape is None:
        found: dict[str, Any] = {"prompt": _first(PROMPTS, look.names)}
        if _ends_answered(look.records, str(found["prompt"])):
            return {"conversation": found["prompt"]} | kept
        if {"completions", "labels"} <= set(look.names):
            return found | {"steps": "completions", "step_labels": "labels"} | kept
        if response := next((name for name in RESPONSE if name in look.names and name != found["prompt"]), None):
            found["response"] = response
        if responses := _first(RESPONSES, look.names):
            found["responses"] = responses
        return found | kept
    columns: dict[str, Any] = {"prompt": shape.prompt} if shape.prompt else {}
    if shape.sides:
        names = ("chosen", "rejected") if shape.chosen else ("response_a", "response_b")
        columns |= dict(zip(names, shape.sides, strict=True))
    for field in ("response", "completions", "policies", "policy", "annotator", "tie", "ranks"):
        if value := getattr(shape, field):
            columns[field] = value
    if shape.responses:
        columns["responses"] = shape.responses[0]
    if shape.writers:
        columns["writers"] = list(shape.writers)
    if shape.label and not shape.chosen:
        columns["label"] = shape.label
        labels = dict(shape.labels) or ({"0": "a", "1": "b"} if any("holds 0" in one for one in look.unsure) else {})
        columns |= {"labels": labels} if labels else {}
    scores = {name: value[0] if len(value) == 1 else list(value) for name, value in shape.scores.items()}
    if shape.completions:
        items = (one for record in look.records for one in record.get(shape.completions) or [])
        fields = {name for one in items if isinstance(one, Mapping) for name in one}
        scores = {name: name for name in ITEM_SCORES if name in fields}
        columns |= {"ranks": RANK} if RANK in fields and not scores else {}
    return columns | ({"scores": scores} if scores else {}) | kept


def _ends_answered(records: Sequence[Mapping[str, Any]], column: str) -> bool:
    """Whether the conversations of a column end with the assistant's turn, as most of them are read."""
    ends = [record[column][-1] for record in records if isinstance(record.get(column), list) and record[column]]
    roles = [one.get("role") or one.get("from") for one in ends if isinstance(one, Mapping)]
    return 2 * sum(role in ("assistant", "gpt", "model") for role in roles) > max(len(roles), 1)


def _judges(look: Look, columns: Mapping[str, Any]) -> list[str]:
    lines = []
    if look.shape and look.shape.compares:
        lines.append("  - {kind: label}                  # what the source says is better; no calls")
    names = [*columns.get("scores", {}), *([RANK] if columns.get("ranks") else [])]
    lines += [f"  - {{kind: score, of: {name}, name: {_slug(name)}}}" for name in names]
    lines.append(
        "  - {kind: length}                 # a control to read beside the others: no vote, unless it has a weight"
    )
    if "references" in columns:
        lines.append("  - {kind: bleu}                   # against the references; costs nothing")
    asked = "  # - {kind: llm-pairwise, model: MODEL, base_url: URL}"
    return [*lines, f"{asked}   # a second opinion, paid for by the token"]


def _filters(columns: Mapping[str, Any]) -> list[str]:
    names = list(columns.get("scores", {}))
    by = f", by: {_slug(names[0])}" if names else ""
    return [f"  - {{kind: margin, minimum: 0.1{by}}}", "  - {kind: near-identical, minimum: 0.1}"]


def _slug(name: str) -> str:
    """A judge's name for a score's."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "score"
    return f"given-{slug}" if slug in TAKEN else slug


def _yaml(value: Any) -> str:
    """As flow-style YAML that reads back as the same texts."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_yaml(str(key))}: {_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", value) and value.lower() not in RESERVED
    return value if plain else json.dumps(value, ensure_ascii=False)


def _first(wanted: Sequence[str], there: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in there), None)
