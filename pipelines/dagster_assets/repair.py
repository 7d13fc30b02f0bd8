"""The hook of all assets that takes damaged tables away after a step that failed over one."""

import functools

import dagster as dg

from pairwright.assets.storage.repair import take_away_damaged
from pairwright.schemas.errors import DamagedError


@functools.cache
def after_damage(resource: str) -> dg.HookDefinition:
    """Where a step met a damaged table that costs nothing, take such tables away: the next run makes them again.

    `resource` is the run's coordinator, which knows the workspace.
    """

    @dg.failure_hook(name="after_damage", required_resource_keys={resource})
    def taken_away(context: dg.HookContext) -> None:
        error, root = context.op_exception, getattr(context.resources, resource).workspace.root
        if isinstance(error, DamagedError) and error.path.is_relative_to(root):
            take_away_damaged(root)

    return taken_away
