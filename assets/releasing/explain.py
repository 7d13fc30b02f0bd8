"""Why a pair is in or out: everything known of it, found by its id."""

import json
import time
from pathlib import Path
from typing import Any

import polars as pl

from pairwright.assets.releasing.versions import Release, scan_release, verify_release, versions
from pairwright.assets.storage.integrity import damaged
from pairwright.assets.storage.store import Workspace, scan
from pairwright.schemas.errors import StoreError
from pairwright.schemas.files import file_state

SHORTEST = 6
"""Characters of an id that may stand for it."""
TABLES = ("pairs", "prompts", "responses", "preferences")
"""What is read beside the releases: the tables in use, which a build may replace meanwhile."""
TRIES = 25
PAUSE = 0.2
"""Seconds until the next try, when that happened."""


def explain(identifier: str, data: Path) -> dict[str, Any]:
    """Everything about a pair, or about a prompt and why it has the pairs it has.

    `identifier` is a pair_id or prompt_id, or the start of one, of any data set under `data`. Raises StoreError when
    nothing or more than one thing is meant.
    """
    for _ in range(TRIES):
        before = _tables(data)
        try:
            found = _explain(identifier, data)
        except (StoreError, OSError, pl.exceptions.PolarsError):
            if _tables(data) == before:
                raise
        else:
            if _tables(data) == before:
                return found
        time.sleep(PAUSE)
    raise StoreError(f"a build is replacing the tables under {data} right now; ask again in a moment")


def _tables(data: Path) -> dict[Path, tuple[int, int]]:
    """Tells whether a build has replaced a table that is read here, or made a release."""
    files = [path for table in TABLES for path in data.glob(f"*/{table}/*.parquet")]
    return {path: file_state(path) for path in [*files, *data.glob("*/releases/v*")]}


def _explain(identifier: str, data: Path) -> dict[str, Any]:
    if len(identifier) < SHORTEST:
        raise StoreError(f"{identifier!r} is too short to mean one pair; give at least {SHORTEST} characters")
    found = [
        match
        for folder in sorted(path.parent for path in data.glob("*/pairs") if ".gold-" not in path.parent.name)
        for match in _matches(identifier, folder)
    ]
    if not found:
        raise StoreError(f"no pair or prompt {identifier!r} under {data}; ids are in the columns pair_id and prompt_id")
    names = sorted({name for _, _, name in found})
    if len(names) > 1:
        raise StoreError(f"{identifier!r} is the start of {len(names)} ids: {', '.join(names[:5])}; give more of it")
    folder, kind, name = found[0]
    try:
        return _pair(folder, name) if kind == "pair" else _prompt(folder, name)
    except LookupError as error:
        raise StoreError(
            f"the tables of {folder.name} are of two builds, since one is at work or has stopped half-way; "
            "ask again after the next `pairwright build`"
        ) from error


def _matches(identifier: str, folder: Path) -> list[tuple[Path, str, str]]:
    matches = []
    releases = [file for made in _versions(folder) for file in sorted((made.path / "pairs").glob("*.parquet"))]
    for table, column, kind, more in (
        ("pairs", "pair_id", "pair", releases),
        ("prompts", "prompt_id", "prompt", []),
    ):
        files = [*sorted((folder / table).glob("*.parquet")), *more]
        if files:
            ids = sorted(set().union(*(_ids(file, column, identifier) for file in files)))
            matches += [(folder, kind, name) for name in ids]
    return matches


def _versions(folder: Path) -> list[Release]:
    return versions(Workspace(folder.parent, folder.name, 1))


def _ids(file: Path, column: str, start: str) -> list[str]:
    """The ids in a file that begin so. Raises DamagedError where it cannot be read."""
    try:
        rows = pl.scan_parquet(file, glob=False).filter(pl.col(column).str.starts_with(start))  # noqa: TID251 - ids only
        return rows.select(pl.col(column).unique()).collect().to_series().to_list()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise damaged(file, error) from error


def _rows(folder: Path, table: str, **equals: str) -> list[dict[str, Any]]:
    """Rows of a table in which columns have the given values."""
    files = sorted((folder / table).glob("*.parquet"))
    if not files:
        return []
    same = [pl.col(name) == value for name, value in equals.items()]
    return scan(files).filter(pl.all_horizontal(same)).collect().to_dicts()


def _pair(folder: Path, pair_id: str) -> dict[str, Any]:
    dataset = folder.name
    holding = [made for made in _versions(folder) if _released(made, pair_id)]
    names = [made.version for made in holding]
    current = _rows(folder, "pairs", pair_id=pair_id)
    if not current:
        verify_release(holding[-1], ("pairs",))
        old = scan_release(holding[-1].path, "pairs").filter(pl.col("pair_id") == pair_id).collect().to_dicts()[0]
        return {
            "pair_id": pair_id,
            "dataset": dataset,
            "kept": False,
            "reason": "no longer drawn",
            "releases": names,
            **_sides(old),
        }
    row = current[0]
    sides = {side: _response(folder, row["prompt_id"], row[f"{side}_id"]) for side in ("chosen", "rejected")}
    _same_build(row, {one["response_id"]: one for one in sides.values()})
    filters = [
        {"name": name, "value": row[f"filter_{name}"], "kept": row[f"kept_{name}"]}
        for name in (key.removeprefix("filter_") for key in row if key.startswith("filter_"))
    ]
    facts = ("margin", "strength", "label_confidence", "kept", "reason")
    return {
        "pair_id": pair_id,
        "dataset": dataset,
        **{name: row[name] for name in facts},
        "releases": names,
        "filters": filters,
        **_conversation(folder, row["prompt_id"]),
        **sides,
    }


def _released(made: Release, pair_id: str) -> bool:
    return any(pair_id in _ids(file, "pair_id", pair_id) for file in (made.path / "pairs").glob("*.parquet"))


def _sides(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt": row["prompt"],
        "chosen": {"text": row["chosen"][-1]["content"]},
        "rejected": {"text": row["rejected"][-1]["content"]},
    }


def _same_build(pair: dict[str, Any], responses: dict[str, dict[str, Any]]) -> None:
    """Raises LookupError where a pair was not drawn from these preferences."""
    for side in ("chosen", "rejected"):
        if pair[f"score_{side}"] != responses[pair[f"{side}_id"]]["utility"]:
            raise LookupError(pair["pair_id"])


def _conversation(folder: Path, prompt_id: str) -> dict[str, Any]:
    """The prompt as texts; and its canonical messages and tools, where it holds more than that."""
    row = _rows(folder, "prompts", prompt_id=prompt_id)[0]
    more = {name: json.loads(row[name]) for name in ("typed", "tools") if row.get(name) is not None}
    return {"prompt": list(row["messages"]), **more}


def _response(folder: Path, prompt_id: str, response_id: str) -> dict[str, Any]:
    text = _rows(folder, "responses", prompt_id=prompt_id, response_id=response_id)[0]
    preference = _rows(folder, "preferences", prompt_id=prompt_id, response_id=response_id)[0]
    return {
        "response_id": response_id,
        "text": text["text"],
        **({"reasoning": text["reasoning"]} if text.get("reasoning") is not None else {}),
        **({"tool_calls": json.loads(text["tool_calls"])} if text.get("tool_calls") is not None else {}),
        "policies": text["policies"],
        **{
            name: preference[name] for name in ("utility", "utility_se", "rank", "agreement", "unranked", "scores", "z")
        },
    }


def _prompt(folder: Path, prompt_id: str) -> dict[str, Any]:
    responses = [
        _response(folder, prompt_id, row["response_id"]) for row in _rows(folder, "responses", prompt_id=prompt_id)
    ]
    pairs = _rows(folder, "pairs", prompt_id=prompt_id)
    for pair in pairs:
        _same_build(pair, {one["response_id"]: one for one in responses})
    return {
        "prompt_id": prompt_id,
        "dataset": folder.name,
        **_conversation(folder, prompt_id),
        "responses": sorted(responses, key=lambda one: (one["rank"] is None, one["rank"], one["response_id"])),
        "pairs": [{name: row[name] for name in ("pair_id", "margin", "kept", "reason")} for row in pairs],
    }
