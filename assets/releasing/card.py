"""The dataset card of a release: YAML that `datasets` reads, and a page that a person reads. Holds no dataset text."""

from collections.abc import Sequence
from typing import Any

import yaml

from pairwright.assets.display.text import cell
from pairwright.assets.intake.splits import SPLITS
from pairwright.schemas.recipe import Recipe


def card(recipe: Recipe, manifest: dict[str, Any]) -> str:
    """README.md of a release."""
    configs = []
    for name in ("pairs", "rankings"):
        splits = [split for split in SPLITS if manifest["counts"].get(f"{name}_{split}")]
        files = [{"split": split, "path": f"{name}/{split}-*.parquet"} for split in splits]
        if files:
            # datasets names its cache by the folder's name and what stands here: without the digest, the v1 of one data
            # set would be read in place of another's.
            told = f"{recipe.dataset} {manifest['version']}, {manifest['digest']}"
            default = {"default": True} if name == "pairs" else {}
            configs.append({"config_name": name, "description": told, "data_files": files, **default})
    front: dict[str, Any] = {"configs": configs, "tags": ["preference", "pairwright"]}
    if recipe.release.license:
        front["license"] = recipe.release.license
    counts = manifest["counts"]
    size, ranked = (sum(counts.get(f"{name}_{split}", 0) for split in SPLITS) for name in ("pairs", "rankings"))
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        "---",
        f"# {recipe.dataset}, {manifest['version']}",
        "",
        f"{size:,} preference pairs and {ranked:,} rankings over "
        f"{counts['prompts']:,} prompts and {counts['responses']:,} responses, made by Pairwright.",
        "",
        *_rows(counts, manifest.get("rejects", [])),
        "```python",
        "from datasets import load_dataset",
        "",
        'pairs = load_dataset("path/to/this/folder", "pairs", split="train")',
        "```",
        "",
        "## How many rows each step left",
        "",
        "| step | entered | dropped | left | without a value |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {cell(s['step'])} | {s['entered']:,} | {s['dropped']:,} | {s['left']:,} | {s['unknown'] or ''} |"
            for s in manifest["funnel"]
        ),
        "",
        *_checks(manifest),
        "## Judges",
        "",
        "| judge | kind | weight | verdicts | failed | abstained | failures | fingerprint |",
        "|---|---|---:|---:|---:|---:|---:|---|",
        *_judges(recipe, manifest),
        "",
        *_policies(manifest),
        *_changes(manifest),
        *_drift(manifest),
        "`prompt`, `chosen` and `rejected` are lists of messages. `score_chosen` and `score_rejected` are the jury's",
        "utilities and `margin` their difference; `chosen_scores` and `rejected_scores` hold every judge's own score.",
        "The recipe, the fingerprints and the hash of every file are in `manifest.json`.",
        "",
    ]
    return "\n".join(lines)


def _checks(manifest: dict[str, Any]) -> list[str]:
    rows = []
    for one in manifest.get("checks", []):
        name, result = one["name"].removeprefix("watch_").replace("_", " "), "passed" if one["passed"] else "warning"
        rows.append(f"| {cell(name)} | {result} | {cell(one['found'])} |")
    if not rows:
        return []
    head = ["## Checks before it was released", "", "| check | result | found |", "|---|---|---|"]
    return [*head, *rows, ""]


def _judges(recipe: Recipe, manifest: dict[str, Any]) -> list[str]:
    answers = {one["name"]: one for one in manifest.get("answers", []) if one["part"] == "judge"}
    return [
        f"| {cell(name)} | {one['kind']} | {recipe.weights[name]:g} | {_outcome(answers[name])} "
        f"| `{one['fingerprint']}` |"
        for name, one in manifest["judges"].items()
    ]


def _policies(manifest: dict[str, Any]) -> list[str]:
    rows = [
        f"| {cell(one['name'])} | {_outcome(one)} |" for one in manifest.get("answers", []) if one["part"] == "policy"
    ]
    if not rows:
        return []
    head = ["| policy | samples | failed | abstained | failures |", "|---|---:|---:|---:|---:|"]
    return ["## Policies", "", *head, *rows, ""]


def _outcome(one: dict[str, Any]) -> str:
    return f"{one['asked']:,} | {one['failed']:,} | {one['abstained']:,} | {one['share']:.1%}"


def _rows(counts: dict[str, int], rejects: Sequence[dict[str, Any]]) -> list[str]:
    """What became of the sources' rows, where some were not simply taken."""
    told = []
    if counts.get("rejects"):
        why = "; ".join(f"{one['count']:,} × {cell(one['reason'])}" for one in rejects)
        lost = f"{counts['rejects']:,} of {counts['rows']:,} rows of the sources could not be used"
        told.append(f"{lost}{': ' + why if why else ''}.")
    if counts.get("notices"):
        told.append(
            f"{counts['notices']:,} rows repeat a prompt with other references, tags, source, license, domain, tests "
            "or split: their responses are kept, references and tags are united, and of the rest one value stands."
        )
    return [" ".join(told), ""] if told else []


def _changes(manifest: dict[str, Any]) -> list[str]:
    changes = manifest["changes"]
    if not changes:
        unknown = f"Against {manifest['parent']}: not known, since its files are damaged or gone."
        return ["## What changed", "", unknown, ""] if manifest["parent"] else []
    counts = ", ".join(f"{count:,} {what}" for what, count in changes.items())
    rows = [
        f"| {what} | {cause} | {count:,} |"
        for what, by_cause in (manifest["causes"] or {}).items()
        for cause, count in by_cause.items()
    ]
    table = ["| pairs | what became of their prompts | how many |", "|---|---|---:|", *rows, ""] if rows else []
    return ["## What changed", "", f"Against {manifest['parent']}: {counts} pairs.", "", *table]


def _drift(manifest: dict[str, Any]) -> list[str]:
    last = manifest.get("drift")
    if not last or not last["drift"]:
        return []
    rows = [
        f"| {cell(one['judge'])} | {one['judged_again']:,} | {one['failed']:,} | {one['compared']:,} "
        f"| {'' if one['agreement'] is None else format(one['agreement'], '.1%')} | {one['flipped']:,} |"
        for one in last["drift"]
    ]
    return [
        "## Judged again",
        "",
        f"Some verdicts were asked for a second time on {last['night'][:10]}. Agreement is test-retest: the share of",
        "orders of two responses that came out the same. Of a judge at temperature 0 it measures the server only.",
        "",
        "| judge | judged again | failed | orders compared | agreement | flipped |",
        "|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
    ]
