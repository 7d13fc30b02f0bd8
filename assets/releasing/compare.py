"""What changed between two versions: pairs by group and cause, rankings, and the recipe that they were made from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.intake.splits import SPLITS
from pairwright.assets.releasing.changes import SIDES, causes, difference
from pairwright.assets.releasing.versions import Release, scan_release, verify_release

COMPARED = ["prompt_id", "response_ids", "ranks"]
LISTED = ("judges", "filters", "policies")
"""Parts of a recipe that are lists of named parts."""


class Change(NamedTuple):
    """An option of the recipe, or a judge, that is another one; None where it was or is not there."""

    what: str
    old: Any
    new: Any


class Comparison(NamedTuple):
    """How a version differs from another."""

    old: str
    new: str
    pairs: dict[str, int]
    """added, gone, flipped and unchanged."""
    causes: dict[str, dict[str, int]]
    """Pairs of each group by what became of their prompt."""
    rankings: dict[str, int]
    """Prompts whose whole list is added, gone, changed or unchanged in its responses or their order."""
    recipe: list[Change]
    judges: list[Change]
    """Fingerprints: another one has verdicts of its own, also where the recipe says the same (a template, weights)."""
    counts: list[Change]
    """Prompts, responses and rows that the sources held."""


def compare(old: Release, new: Release) -> Comparison:
    """Compare two releases by what lies in their folders. Raises StoreError where that is not what was released."""
    for made in (old, new):
        verify_release(made)
    before, after = old.manifest, new.manifest
    return Comparison(
        old.version,
        new.version,
        difference(old.path, new.path),
        causes(old.path, new.path),
        _rankings(old.path, new.path),
        _changes(_options(before.get("recipe", {})), _options(after.get("recipe", {}))),
        _changes(_fingerprints(before), _fingerprints(after)),
        _changes(_held(before), _held(after)),
    )


def _fingerprints(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: one.get("fingerprint") for name, one in manifest.get("judges", {}).items()}


def _held(manifest: dict[str, Any]) -> dict[str, Any]:
    """What the sources held; what became of it is told of pairs and rankings."""
    return {
        k: v for k, v in manifest.get("counts", {}).items() if not k.endswith(tuple(f"_{split}" for split in SPLITS))
    }


def pairs_by_group(old: Path, new: Path) -> dict[str, list[str]]:
    """The ids of the pairs that are added, gone and flipped; a flipped one by its id in the new version."""
    a, b = (_table(folder, "pairs").select("pair_id", *SIDES).collect(engine="streaming") for folder in (old, new))
    flipped = b.join(_mirrored(a), on=SIDES, how="semi")
    was_flipped = a.join(_mirrored(b), on=SIDES, how="semi")
    return {
        "added": _ids(b.join(a, on=SIDES, how="anti").join(flipped, on=SIDES, how="anti")),
        "gone": _ids(a.join(b, on=SIDES, how="anti").join(was_flipped, on=SIDES, how="anti")),
        "flipped": _ids(flipped),
    }


def _mirrored(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.select("prompt_id", chosen_id="rejected_id", rejected_id="chosen_id")


def _ids(pairs: pl.DataFrame) -> list[str]:
    return pairs.get_column("pair_id").sort().to_list()


def _table(folder: Path, name: str) -> pl.LazyFrame:
    return scan_release(folder, name)


def _rankings(old: Path, new: Path) -> dict[str, int]:
    a, b = (_table(folder, "rankings").select(COMPARED).collect(engine="streaming") for folder in (old, new))
    both = a.join(b, on="prompt_id", suffix="_new")
    same = both.filter(pl.all_horizontal(pl.col(one) == pl.col(f"{one}_new") for one in COMPARED[1:])).height
    return {
        "added": b.height - both.height,
        "gone": a.height - both.height,
        "changed": both.height - same,
        "unchanged": same,
    }


def _options(recipe: dict[str, Any]) -> dict[str, Any]:
    """Each option of a recipe by its dotted name, parts of lists by their own names."""
    return dict(_flat(recipe, ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _flat(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and name in LISTED and all(isinstance(one, dict) for one in value):
        for one in value:
            label = one.get("name") or one.get("kind")
            yield from _flat({key: part for key, part in one.items() if key != "name"}, f"{name}[{label}]")
    else:
        yield name, value


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    names = list(dict.fromkeys([*old, *new]))
    return [Change(one, old.get(one), new.get(one)) for one in names if old.get(one) != new.get(one)]


def as_json(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON-like values."""
    changes = {name: [one._asdict() for one in getattr(found, name)] for name in ("recipe", "judges", "counts")}
    return {
        "old": found.old,
        "new": found.new,
        **found.pairs,
        "causes": found.causes,
        "rankings": found.rankings,
        **changes,
    }
