"""What the runs of a recipe are called, and what they are about."""

from pairwright.assets import face
from pairwright.schemas.recipe import Recipe


def job_name(recipe: Recipe) -> str:
    """The job that builds a recipe."""
    return f"{face.group(recipe)}_build"


def every_shard(recipe: Recipe) -> dict[str, str]:
    """Tags of a run over all shards."""
    names = face.partitions(recipe).get_partition_keys()
    return {"dagster/asset_partition_range_start": names[0], "dagster/asset_partition_range_end": names[-1]}
