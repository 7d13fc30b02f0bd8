"""Which assets an asset reads: what the stages of the flow declare, seen from Dagster."""

from pairwright.assets.flow import flow
from pairwright.assets.intake.source import said_tables
from pairwright.schemas.recipe import Recipe

Path = tuple[str, ...]
"""Of an asset, below the data set's name."""
WITHIN: dict[str, Path] = {
    "given": ("prompts",),
    "scales": ("preferences",),
    "candidates": ("pairs",),
    "cutoffs": ("pairs",),
    "outcomes": ("release",),
    "splits": ("release",),
}
"""Stages that have no asset of their own: which one makes them."""


def reads(recipe: Recipe, *path: str) -> list[Path]:
    """The assets that one reads, without those that others of them read in turn, in the order of the flow."""
    direct = _direct(recipe)
    if path not in direct:
        return []  # made of something else than tables
    behind = {one: set(others) for one, others in direct.items()}
    for one in direct:  # in the order of the flow: what it reads is complete
        for other in direct[one]:
            behind[one] |= behind[other]
    mine = direct[path]
    return [one for one in mine if not any(one in behind[other] for other in mine)]


def _direct(recipe: Recipe) -> dict[Path, list[Path]]:
    stages = flow(recipe)
    makers: dict[str, list[Path]] = {}  # two judges that are alike but for their names have one table
    for stage in stages:
        makers.setdefault(stage.table, []).append(asset_path(stage.name))
    found: dict[Path, dict[Path, None]] = {asset_path(stage.name): {} for stage in stages}
    if not recipe.policies:  # taken in with the prompts
        found["responses",] = {("prompts",): None}
    for table in said_tables(recipe):
        found[table,] = {("prompts",): None}
    for stage in stages:
        mine = asset_path(stage.name)
        found[mine] |= {other: None for one in stage.inputs for other in makers[one.table] if other != mine}
    return {one: list(others) for one, others in found.items()}


def asset_path(name: str) -> Path:
    """The asset that makes a stage."""
    return WITHIN.get(name, tuple(name.split("/")))
