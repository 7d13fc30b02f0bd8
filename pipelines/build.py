"""A recipe as Dagster definitions: its assets, and the job that builds them all."""

import warnings
from collections.abc import Sequence

import dagster as dg

from pairwright.assets import face, judge, likelihood, pair, prefer, rank, release, sample, source
from pairwright.schemas.recipe import Recipe

warnings.filterwarnings("ignore", category=dg.BetaWarning)

STAGES = (source, sample, likelihood, judge, prefer, pair, rank, release)
"""The asset modules, in the order in which data flows."""


def job_name(recipe: Recipe) -> str:
    """The job that builds a recipe."""
    return f"{face.group(recipe)}_build"


def definitions(recipes: Sequence[Recipe]) -> dg.Definitions:
    """Assets and jobs of several recipes. Steps run in one process: concurrency lives inside the assets."""
    return dg.Definitions(
        assets=[asset for recipe in recipes for stage in STAGES for asset in stage.assets(recipe)],
        jobs=[
            dg.define_asset_job(
                job_name(recipe),
                selection=dg.AssetSelection.groups(face.group(recipe)),
                description=f"Builds {recipe.dataset} from its sources to a release.",
            )
            for recipe in recipes
        ],
        executor=dg.in_process_executor,
    )


def every_shard(recipe: Recipe) -> dict[str, str]:
    """Tags of a run over all shards."""
    names = face.partitions(recipe).get_partition_keys()
    return {"dagster/asset_partition_range_start": names[0], "dagster/asset_partition_range_end": names[-1]}
