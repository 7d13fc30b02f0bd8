"""The hook of all assets that takes damaged tables away after a step that failed over one."""

import os
from pathlib import Path

import dagster as dg

from pairwright.assets.storage.repair import take_away_damaged
from pairwright.schemas.errors import DamagedError


@dg.failure_hook
def after_damage(context: dg.HookContext) -> None:
    """Where a step met a damaged table that costs nothing, take such tables away: the next run makes them again."""
    error = context.op_exception
    data = Path(os.environ.get("PAIRWRIGHT_DATA", "data"))
    if isinstance(error, DamagedError) and error.path.is_relative_to(data):
        take_away_damaged(data / error.path.relative_to(data).parts[0])
