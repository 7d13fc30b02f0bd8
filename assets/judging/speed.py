"""How fast models read here: measured in every build, and tried on a few responses where a model is small."""

import time
from pathlib import Path

import polars as pl

from pairwright.assets.storage.integrity import kept_record
from pairwright.assets.storage.store import Workspace, write_record
from pairwright.judges.base import Batch
from pairwright.models.local.engine import read
from pairwright.models.local.loading import is_small
from pairwright.models.local.open_backend import load
from pairwright.models.local.request import PassRequest

ENOUGH = 32
"""Responses of a build from which a pace is taken."""


class Watch:
    """Times what a build reads, from the first text on, and keeps the pace for plans."""

    def __init__(self, need: PassRequest, workspace: Workspace) -> None:
        self._path = _file(need, workspace)
        self._responses = self._tokens = 0
        self._start = 0.0

    def start(self) -> None:
        """The model is loaded and reading begins."""
        self._start = self._start or time.perf_counter()

    def count(self, rows: pl.DataFrame) -> None:
        """These rows of the likelihoods table have just been read."""
        self._responses += rows.height
        self._tokens += _tokens(rows)

    def keep(self) -> None:
        """Note the pace, if enough was read."""
        if self._responses >= ENOUGH and self._tokens:
            pace = (time.perf_counter() - self._start) / self._tokens
            write_record(self._path, {"seconds_per_token": pace})


def seconds_per_token(need: PassRequest, workspace: Workspace, few: Batch) -> float | None:
    """Of this pass's last build; else of a small local model, by reading `few`; else None."""
    pace = (kept_record(_file(need, workspace)) or {}).get("seconds_per_token")
    if isinstance(pace, float):
        return pace
    if need.model.base_url or not is_small(need.model):
        return None
    backend = load(need.model)
    start = time.perf_counter()
    tokens = sum(_tokens(rows) for rows in read(few, need, backend))
    return (time.perf_counter() - start) / tokens if tokens else None


def _file(need: PassRequest, workspace: Workspace) -> Path:
    return workspace.root / need.table / "pace.json"


def _tokens(rows: pl.DataFrame) -> int:
    """Tokens of prompts, responses and follow-ups, as if nothing were shared: what a plan counts."""
    behind = pl.col("follow_ups").list.eval(pl.element().struct.field("tokens")).list.sum()
    return int(rows.select(pl.sum_horizontal("prompt_tokens", "tokens", behind).sum()).item() or 0)
