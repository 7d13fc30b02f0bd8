"""Releases: immutable versions of a data set, written aside and renamed whole, and only when rows have changed."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import polars as pl

from pairwright import __version__
from pairwright.assets import face, likelihood, views
from pairwright.assets.card import card
from pairwright.assets.changes import causes
from pairwright.assets.filters.difficulty import reference_logprob
from pairwright.assets.pair import FunnelStep, funnel, with_likelihoods
from pairwright.assets.prefer import judges_of
from pairwright.assets.progress import tell
from pairwright.assets.replies import costs
from pairwright.assets.rolling import SplitWriter
from pairwright.assets.sample import policies_of
from pairwright.assets.splits import assign_splits
from pairwright.assets.store import Shard, Workspace, locked, replacing, scan, version_of
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe

CODE = 1
"""Raised when the same tables would give other release files."""
_Rows = Callable[[Recipe, Workspace, Shard, pl.DataFrame], Iterator[pl.DataFrame]]
CONTENT = ("pairs", "rankings")
PIECE = 16_384
"""Rows put together at a time: texts stay in memory for these only, besides one shard of each table."""


class Release(NamedTuple):
    """A version and where it lies."""

    version: str
    path: Path
    manifest: dict[str, Any]
    fresh: bool = False
    """Whether it was made just now."""


def release(recipe: Recipe, workspace: Workspace) -> Release:
    """The version with the present rows: a new one if they differ from the last one's, else that.

    Raises PairwrightError when no pair is left, with the funnel that says where they went.
    """
    with locked(workspace.releases / "release.lock"):
        made_from = _made_from(recipe, workspace)
        parent = latest(workspace)
        seen = workspace.releases / "seen.json"
        if parent and seen.exists() and json.loads(seen.read_text()) == {made_from: parent.version}:
            return parent
        steps = funnel(recipe, workspace)
        if steps[-1].left == 0:
            lost = "; ".join(f"{one.step}: {one.left} of {one.entered}" for one in steps)
            raise PairwrightError(f"{recipe.dataset}: no pair is left to release ({lost})")
        version = f"v{int(parent.version[1:]) + 1 if parent else 1}"
        aside = workspace.releases / f".{version}.{os.getpid()}.tmp"
        shutil.rmtree(aside, ignore_errors=True)  # of a killed process that had the same number
        try:
            made = _write(recipe, workspace, aside, version, steps, parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        with replacing(seen) as path:
            path.write_text(json.dumps({made_from: made.version}))
        return made


def latest(workspace: Workspace) -> Release | None:
    """The newest version, if there is one."""
    found = versions(workspace)
    return found[-1] if found else None


def versions(workspace: Workspace) -> list[Release]:
    """All versions, oldest first."""
    folders = [path for path in workspace.releases.glob("v*") if path.name[1:].isdigit()]
    return [Release(path.name, path, _manifest(path)) for path in sorted(folders, key=lambda path: int(path.name[1:]))]


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); put it back or remove {folder}") from error


def find(workspace: Workspace, version: str) -> Release:
    """The version of that name. Raises StoreError listing those that exist."""
    there = versions(workspace)
    for one in there:
        if one.version == version:
            return one
    names = ", ".join(one.version for one in there) or "none yet"
    raise StoreError(f"{workspace.dataset} has no release {version!r}; there are: {names}")


def resolve(data: Path, name: str) -> Release:
    """The version that a person means: a release folder, `dataset/v3`, `dataset` (its latest), or `v3` where the data
    directory holds one data set only.

    Raises StoreError listing the versions that there are.
    """
    if (Path(name) / "manifest.json").is_file():
        path = Path(name).resolve()
        manifest = _manifest(path)
        return Release(manifest["version"], path, manifest)
    sets = sorted(path.parent.name for path in data.glob("*/releases") if path.is_dir())
    dataset, _, version = name.partition("/")
    if dataset not in sets and not version and len(sets) == 1:
        dataset, version = sets[0], name
    if dataset in sets:
        workspace = Workspace(data, dataset, 1)
        if not version and (last := latest(workspace)):
            return last
        return find(workspace, version)
    there = [f"{one}/{made.version}" for one in sets for made in versions(Workspace(data, one, 1))]
    raise StoreError(f"no release {name!r} under {data}; there are: {', '.join(there) or 'none yet'}")


def difference(old: Path, new: Path) -> dict[str, int]:
    """How the pairs of two release folders differ: added, gone, flipped (sides swapped) and unchanged."""
    a, b = (_sides(path) for path in (old, new))
    same = a.join(b, on="pair_id", how="semi").height
    mirrored = a.select("prompt_id", chosen_id="rejected_id", rejected_id="chosen_id")
    flipped = b.join(mirrored, on=["prompt_id", "chosen_id", "rejected_id"], how="semi").height
    return {
        "added": b.height - same - flipped,
        "gone": a.height - same - flipped,
        "flipped": flipped,
        "unchanged": same,
    }


def _sides(folder: Path) -> pl.DataFrame:
    files = sorted((folder / "pairs").glob("*.parquet"))
    return pl.scan_parquet(files, glob=False).select("pair_id", "prompt_id", "chosen_id", "rejected_id").collect()


def _made_from(recipe: Recipe, workspace: Workspace) -> str:
    tables = ("prompts", "responses", "pairs", "rankings")
    return fingerprint(
        {
            "code": CODE,
            "inputs": [
                [version_of(path) for path in workspace.files(table)] for table in (*tables, *_references(recipe))
            ],
            "options": recipe.release.model_dump(mode="json", exclude={"formats", "hub"}),
        }
    )


def _references(recipe: Recipe) -> list[str]:
    """The table of the reference model, if the release has one."""
    need = likelihood.reference_need(recipe)
    return [need.table] if need else []


def _with_reference(recipe: Recipe, frame: pl.DataFrame, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """With the reference model's log-probabilities of both sides, null where it could not read one."""
    need = likelihood.reference_need(recipe)
    if need is None:
        return frame
    columns = {f"ref_{side}_logps": reference_logprob(f"likelihood_{side}") for side in ("chosen", "rejected")}
    read = with_likelihoods(frame, need, workspace, shard).with_columns(**columns)
    return read.drop("likelihood_chosen", "likelihood_rejected")


def _write(
    recipe: Recipe,
    workspace: Workspace,
    aside: Path,
    version: str,
    steps: list[FunnelStep],
    parent: Release | None,
) -> Release:
    splits = splits_of(recipe, workspace)
    files = write_pairs(recipe, workspace, splits, aside / "pairs")
    files |= write_rankings(recipe, workspace, splits, aside / "rankings")
    described = {name: {"rows": rows, **_described(aside / name)} for name, rows in sorted(files.items())}
    digest = fingerprint([recipe.release.license, {name: one["blake2b"] for name, one in described.items()}])
    if parent and parent.manifest["digest"] == digest:
        return parent
    manifest = {
        "dataset": recipe.dataset,
        "version": version,
        "parent": parent.version if parent else None,
        "digest": digest,
        "made_by": f"pairwright {__version__}",
        "counts": _counts(workspace, described),
        "funnel": [step._asdict() for step in steps],
        "changes": difference(parent.path, aside) if parent else None,
        "causes": causes(parent.path, aside) if parent else None,
        "judges": {
            judge.name: {"kind": judge.content()["kind"], "fingerprint": judge.fingerprint}
            for judge in judges_of(recipe)
        },
        "costs": costs([*policies_of(recipe), *judges_of(recipe)], workspace),
        "recipe": recipe.model_dump(mode="json", exclude_unset=True),
        "files": described,
    }
    (aside / "README.md").write_text(card(recipe, manifest), encoding="utf-8")
    manifest_text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (aside / "manifest.json").write_text(manifest_text, encoding="utf-8")
    path = workspace.releases / version
    aside.rename(path)
    return Release(version, path, manifest, fresh=True)


def write_pairs(recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write the kept pairs; rows of each file by its name within the release."""
    return _write_content(recipe, workspace, splits, folder, _pairs)


def write_rankings(recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write the rankings; rows of each file by its name within the release."""
    return _write_content(recipe, workspace, splits, folder, _rankings)


def _write_content(
    recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path, rows: _Rows
) -> dict[str, int]:
    with SplitWriter(folder) as writer:
        for shard in workspace.each_shard():
            for piece in rows(recipe, workspace, shard, splits):
                writer.add(piece)
            tell(f"release: {folder.name}", shard.index + 1, shard.count)
    return {f"{folder.name}/{path.name}": count for path, count in writer.files}


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "blake2b": digest}


def _counts(workspace: Workspace, files: dict[str, Any]) -> dict[str, int]:
    intake = json.loads((workspace.root / "intake.json").read_text())
    counts = {name: int(intake[name]) for name in ("prompts", "responses", "rows", "rejects")}
    for name in CONTENT:
        for split in ("train", "test"):
            rows = [one["rows"] for path, one in files.items() if path.startswith(f"{name}/{split}-")]
            counts[f"{name}_{split}"] = sum(rows)
    return counts


def splits_of(recipe: Recipe, workspace: Workspace) -> pl.DataFrame:
    """prompt_id and split of every prompt, over narrow columns."""
    prompts = pl.scan_parquet(workspace.files("prompts"), glob=False)
    narrow = prompts.select("prompt_id", "split", "sketch").collect()
    return assign_splits(narrow, recipe.release.test_fraction)


def _turn(text: str) -> pl.Expr:
    """A conversation of the assistant's one turn."""
    return pl.concat_list(pl.struct(role=pl.lit("assistant"), content=pl.col(text)))


def _pairs(recipe: Recipe, workspace: Workspace, shard: Shard, splits: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The kept pairs of a shard, some at a time, with everything that a trainer or a reader wants beside them."""
    pairs = pl.scan_parquet(workspace.file("pairs", shard), glob=False).filter("kept")
    pairs = pairs.drop("kept", "reason", *(f"kept_{one.name}" for one in recipe.filters)).sort("prompt_id", "pair_id")
    prompts = _prompts(workspace, shard, splits)
    sides = _responses(workspace, shard, "policies", "text", "scores")
    leading = ["pair_id", "prompt_id", "prompt", "chosen", "rejected"]
    for piece in pairs.collect().iter_slices(PIECE):
        frame = piece.join(prompts, on="prompt_id", how="left", maintain_order="left")
        for side in ("chosen", "rejected"):
            renamed = {
                "response_id": f"{side}_id",
                "policies": f"{side}_policies",
                "scores": f"{side}_scores",
                "text": side,
            }
            one = sides.rename(renamed)
            frame = frame.join(one, on=f"{side}_id", how="left", maintain_order="left")
        frame = _with_reference(recipe, frame, workspace, shard)
        frame = frame.with_columns(chosen=_turn("chosen"), rejected=_turn("rejected"))
        yield frame.select(*leading, pl.exclude(leading))


def _rankings(recipe: Recipe, workspace: Workspace, shard: Shard, splits: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rankings of a shard, some at a time, with the texts."""
    rankings = pl.read_parquet(workspace.file("rankings", shard), glob=False).sort("prompt_id")
    prompts = _prompts(workspace, shard, splits)
    steps = _steps(workspace)
    texts = _responses(workspace, shard, "policies", "text", *(["steps"] if steps else []))
    leading = ["prompt_id", "prompt", "responses", "scores", "ranks", "soft_targets"]
    for piece in rankings.iter_slices(PIECE):
        long = piece.select("prompt_id", response_id="response_ids").explode("response_id", empty_as_null=False)
        long = long.join(texts, on="response_id", how="left", maintain_order="left")
        lists = long.group_by("prompt_id", maintain_order=True).agg(
            responses=_turn("text"), policies="policies", **steps
        )
        frame = piece.join(lists, on="prompt_id", how="left", maintain_order="left")
        frame = frame.join(prompts, on="prompt_id", how="left", maintain_order="left")
        yield frame.select(*leading, pl.exclude(leading))


def _steps(workspace: Workspace) -> dict[str, pl.Expr]:
    """The columns of the responses' steps and their labels, if any response has some."""
    if not scan(workspace.files("responses")).select(pl.col("steps").is_not_null().any()).collect().item():
        return {}
    step = pl.element().struct
    return {
        "steps": pl.col("steps").list.eval(step.field("text")),
        "step_labels": pl.col("steps").list.eval(step.field("right") == 1),
    }


def _prompts(workspace: Workspace, shard: Shard, splits: pl.DataFrame) -> pl.DataFrame:
    prompts = pl.scan_parquet(workspace.file("prompts", shard), glob=False)
    kept = prompts.select("prompt_id", "source", "license", "domain", prompt="messages")
    return kept.join(splits.lazy(), on="prompt_id", how="left").collect()


def _responses(workspace: Workspace, shard: Shard, *columns: str) -> pl.DataFrame:
    """Columns of the responses and preferences tables of a shard, by response_id, which names its prompt, too."""
    responses = pl.scan_parquet(workspace.file("responses", shard), glob=False)
    if "scores" in columns:
        scores = pl.scan_parquet(workspace.file("preferences", shard), glob=False).select("response_id", "scores")
        responses = responses.join(scores, on="response_id", how="left")
    return responses.select("response_id", *columns).collect()


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The release of a recipe."""
    checks = {
        "no_leakage": "No prompt is in both splits.",
        "watch_length_bias": "The longer side is chosen in 30 % to 70 % of the pairs.",
    }

    @dg.asset(
        **face.common(recipe, "release", sharded=False),
        deps=[
            *(face.key(recipe, table) for table in ("pairs", "rankings")),
            *(likelihood.key(recipe, need) for need in [likelihood.reference_need(recipe)] if need),
        ],
        check_specs=face.check_specs(recipe, ("release",), checks),
    )
    def versioned(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """An immutable version: Parquet that trainers read as it is, a dataset card, and a manifest."""
        workspace = Workspace.of(recipe)
        made = release(recipe, workspace)
        context.log.info(f"{recipe.dataset} {made.version} at {made.path}")
        view = views.kept_view(workspace, "release", [made.manifest["digest"]], lambda: _view(made))
        leaked, longer, rows = int(view.pop("leaked")), float(view.pop("longer")), int(view.pop("rows"))
        found = {
            "no_leakage": (leaked == 0, f"{leaked} prompts in both splits"),
            "watch_length_bias": (0.3 <= longer <= 0.7, f"chosen is the longer side in {longer:.1%}"),
        }
        facts = {
            "dagster/row_count": rows,
            "version": made.version,
            "path": dg.MetadataValue.path(str(made.path)),
        }
        return face.result(facts | {name: dg.MarkdownMetadataValue(text) for name, text in view.items()}, found)

    return [versioned]


def _view(made: Release) -> dict[str, str]:
    """Counts, the funnel, what changed, and the first pairs of a version."""
    pairs = pl.scan_parquet(sorted((made.path / "pairs").glob("*.parquet")), glob=False, include_file_paths="file")
    size = {side: pl.col(side).list.last().struct.field("content").str.len_chars() for side in ("chosen", "rejected")}
    longer = (size["chosen"] > size["rejected"]).cast(pl.Float64) + (size["chosen"] == size["rejected"]) / 2
    split = pl.col("file").str.extract(r"(train|test)-\d+\.parquet$")
    counts = pairs.select(rows=pl.len(), longer=longer.mean()).collect().row(0, named=True)
    leaked = pairs.select("prompt_id", split=split).unique().group_by("prompt_id").len().filter(pl.col("len") > 1)
    steps = [FunnelStep(**step) for step in made.manifest["funnel"]]
    shown = pairs.select("prompt", "chosen", "rejected", "margin").head(views.PREVIEW).collect()
    return {
        "rows": str(counts["rows"]),
        "longer": str(counts["longer"]),
        "leaked": str(leaked.collect().height),
        "funnel": views.funnel_picture(steps),
        "counts": views.table(pl.DataFrame([made.manifest["counts"]])),
        "preview": views.table(shown),
    }
