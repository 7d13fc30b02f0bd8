"""How fast models read here: measured in every build, and tried on a few responses where a model is small."""

import json
import time
from pathlib import Path

import polars as pl

from pairwright.assets.store import Workspace
from pairwright.judges.base import Batch
from pairwright.judges.likelihood.backend import load
from pairwright.judges.likelihood.engine import read
from pairwright.judges.likelihood.loading import is_small
from pairwright.judges.likelihood.need import Need
from pairwright.schemas.files import replacing

ENOUGH = 32
"""Responses of a build from which a pace is taken."""


class Watch:
    """Times what a build reads, from the first text on, and keeps the pace for plans."""

    def __init__(self, need: Need, workspace: Workspace) -> None:
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
            with replacing(self._path) as temporary:
                pace = (time.perf_counter() - self._start) / self._tokens
                temporary.write_text(json.dumps({"seconds_per_token": pace}))


def seconds_per_token(need: Need, workspace: Workspace, few: Batch) -> float | None:
    """Of this pass's last build; else of a small local model, by reading `few`; else None."""
    path = _file(need, workspace)
    if path.exists():
        return float(json.loads(path.read_text())["seconds_per_token"])
    if need.model.base_url or not is_small(need.model):
        return None
    backend = load(need.model)
    start = time.perf_counter()
    tokens = sum(_tokens(rows) for rows in read(few, need, backend))
    return (time.perf_counter() - start) / tokens if tokens else None


def _file(need: Need, workspace: Workspace) -> Path:
    return workspace.root / need.table / "pace.json"


def _tokens(rows: pl.DataFrame) -> int:
    """Tokens of prompts, responses and follow-ups, as if nothing were shared: what a plan counts."""
    behind = pl.col("follow_ups").list.eval(pl.element().struct.field("tokens")).list.sum()
    return int(rows.select(pl.sum_horizontal("prompt_tokens", "tokens", behind).sum()).item() or 0)
