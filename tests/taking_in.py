"""What the tests of the intake share: a source taken in, and what became of its rows."""

from pathlib import Path
from typing import Any

import polars as pl
from helpers import recipe_of, table

from pairwright.assets.intake.source import Intake, take_in
from pairwright.assets.storage.store import Workspace

LINE = b'{"prompt": "q", "responses": ["a", "bb"]}\n'
OTHER = b'{"prompt": "r", "responses": ["c"]}\n'


def taken(folder: Path, source: str | dict[str, Any], **parts: Any) -> tuple[Intake, Workspace]:
    block = {"source": source} if isinstance(source, str) else source
    recipe = recipe_of(folder, "unused", judges=[{"kind": "length"}], **{"shards": 1, **parts, "prompts": block})
    workspace = Workspace.of(recipe, folder / "data")
    return take_in(recipe, workspace), workspace


def rejects(workspace: Workspace) -> list[tuple[int, str]]:
    return pl.read_parquet(workspace.root / "rejects.parquet").select("row", "reason").rows()


def notices(workspace: Workspace) -> list[tuple[int, str]]:
    return pl.read_parquet(workspace.root / "notices.parquet").select("row", "reason").rows()


def texts(workspace: Workspace) -> dict[str, list[str]]:
    """The texts of the responses, by the last message of their prompt."""
    prompts = table(workspace, "prompts").select(
        "prompt_id", prompt=pl.col("messages").list.last().struct.field("content")
    )
    rows = prompts.join(table(workspace, "responses"), on="prompt_id", how="left").sort("prompt", "text")
    return {
        prompt: [text for text in found if text is not None]
        for prompt, found in rows.group_by("prompt").agg("text").rows()
    }
