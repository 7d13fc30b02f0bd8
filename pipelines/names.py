"""What the runs of a recipe are called, and what they are about."""

from pairwright.assets import dagster_common
from pairwright.schemas.recipe import Recipe


def job_name(recipe: Recipe) -> str:
    """The job that builds a recipe."""
    return f"{dagster_common.group(recipe)}_build"


def every_shard(recipe: Recipe) -> dict[str, str]:
    """Tags of a run over all shards."""
    names = dagster_common.partitions(recipe).get_partition_keys()
    return {"dagster/asset_partition_range_start": names[0], "dagster/asset_partition_range_end": names[-1]}
