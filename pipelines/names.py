"""What a recipe is called in Dagster: its group, its partitions, its job, and what its runs are about."""

from pairwright.schemas.recipe import Recipe


def group(recipe: Recipe) -> str:
    """The data set's group in the UI, where only letters, digits and underscores may stand."""
    return recipe.dataset.replace("-", "_")


def partition(shard: int) -> str:
    """The partition of a shard."""
    return f"{shard:05d}"


def job_name(recipe: Recipe) -> str:
    """The job that builds a recipe."""
    return f"{group(recipe)}_build"


def every_shard(recipe: Recipe) -> dict[str, str]:
    """Tags of a run over all shards."""
    return {
        "dagster/asset_partition_range_start": partition(0),
        "dagster/asset_partition_range_end": partition(recipe.shards - 1),
    }
