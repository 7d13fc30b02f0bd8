"""The sources of a recipe as an asset that Dagster observes: where they have changed, what follows is stale."""

import math
from pathlib import Path

import dagster as dg

from pairwright.assets.intake.readers import open_source
from pairwright.assets.storage.integrity import kept_record
from pairwright.assets.storage.store import Workspace, write_record
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.names import group
from pairwright.pipelines.source_sensor import Cursor, Hashes
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe

SEEN = "sources.json"
"""In the workspace: what the file system said of each file of the sources at the last look, and its hash."""


def source_asset(recipe: Recipe, data: Path | None = None) -> dg.SourceAsset:
    """What the prompts are taken from. An observation reads no file whose size, times and inode are as before."""

    @dg.observable_source_asset(
        key=common.key(recipe, "source"),
        group_name=group(recipe),
        tags={"pairwright/dataset": recipe.dataset, "dagster/kind/file": ""},
        description="The files of the recipe's sources, as they lie there.",
    )
    def source() -> dg.DataVersion:
        return dg.DataVersion(observed(recipe, Workspace.of(recipe, data)))

    assert isinstance(source, dg.SourceAsset)
    return source


def observed(recipe: Recipe, workspace: Workspace) -> str:
    """Names the content of the sources. Raises SourceError for one that is missing or cannot be read."""
    path = workspace.root / SEEN
    hashes = Hashes(Cursor.of_record(kept_record(path)).files, reads_for=math.inf)
    opened = [open_source(source, recipe.path.parent, hashes.of) for source in recipe.sources]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, {"files": hashes.found})
    return fingerprint([one.version for one in opened])
