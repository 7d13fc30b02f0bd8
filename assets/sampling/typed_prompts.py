"""Prompts that are more than texts, as policies are asked about them, or why they are not."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.sampling.policies.base import Policy
from pairwright.assets.sampling.pool import KEY, wanted_samples
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.models.local.turns import cannot_read
from pairwright.schemas.chat_messages import server_message, with_call_ids
from pairwright.schemas.content_parts import MEDIA
from pairwright.schemas.media import data_uri
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tool_calls import tools_of

CANNOT = "cannot read "
"""How the failure of a sample begins that a policy cannot write, for what its prompt holds."""
MORE = ("typed", "tools")


class Question(NamedTuple):
    """What a policy is asked."""

    prompt_id: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    numbers: list[int]


def columns_read() -> list[str]:
    """The columns of the prompts table that questions are made of."""
    return ["prompt_id", "messages", *MORE]


def questions(missing: pl.DataFrame, prompts: pl.DataFrame, media: Path | None) -> Iterator[Question]:
    """Each prompt with the numbers of its missing samples. Without `media`, images are left out, as a plan does.

    Raises StoreError where a stored file is gone or damaged.
    """
    numbers = missing.group_by("prompt_id", maintain_order=True).agg("number")
    there = [name for name in MORE if name in prompts.columns]
    told = prompts.select("prompt_id", "messages", *there)
    for row in numbers.join(told, on="prompt_id", how="left", maintain_order="left").iter_rows(named=True):
        messages, typed, tools = row["messages"], row.get("typed"), row.get("tools")
        if typed is not None:
            messages = [server_message(turn, _address(media)) for turn in with_call_ids(json.loads(typed))]
        yield Question(row["prompt_id"], messages, tools_of(tools) if tools is not None else None, row["number"])


def unreadable(policy: Policy, prompts: pl.DataFrame) -> pl.DataFrame:
    """prompt_id and reason of the prompts that a policy cannot be asked about."""
    there = [name for name in MORE if name in prompts.columns]
    some = prompts.select("prompt_id", *there).filter(pl.any_horizontal(pl.col(there).is_not_null())) if there else None
    rows = [] if some is None else [(row["prompt_id"], _reason(policy, row)) for row in some.iter_rows(named=True)]
    schema = {"prompt_id": pl.String, "reason": pl.String}
    return pl.DataFrame([row for row in rows if row[1]], schema=schema, orient="row")


class Missing(NamedTuple):
    """KEY of samples that are not there."""

    asked: pl.DataFrame
    unread: pl.DataFrame
    """Those of prompts that the policy cannot read, with the `reason`."""


def missing_of(recipe: Recipe, policy: Policy, ledger: Ledger, workspace: Workspace, shard: Shard) -> Missing:
    """What is missing; also what could not be read before, and now can."""
    wanted = wanted_samples(recipe, policy, workspace, shard)
    missing = ledger.missing(wanted)
    prompts = scan([workspace.file("prompts", shard)])
    more = [name for name in MORE if name in prompts.collect_schema()]
    unread = unreadable(policy, prompts.select("prompt_id", *more).collect())
    unasked = ledger.rows().filter(pl.col("failure").str.starts_with(CANNOT)).select(KEY)
    again = wanted.join(unasked, on=KEY, how="semi").join(unread, on="prompt_id", how="anti")
    missing = pl.concat([missing, again]).sort(KEY) if again.height else missing
    if unread.is_empty():
        return Missing(missing, missing.clear().with_columns(reason=pl.lit("")))
    return Missing(
        missing.join(unread, on="prompt_id", how="anti", maintain_order="left"),
        missing.join(unread, on="prompt_id", how="inner", maintain_order="left"),
    )


def unread_rows(policy: Policy, samples: pl.DataFrame) -> pl.DataFrame:
    """Rows that say why these samples cannot be written: a fact of their prompts."""
    return samples.select(
        *KEY,
        fingerprint=pl.lit(policy.fingerprint),
        sampling=pl.lit(policy.described()),
        failure=pl.col("reason"),
        retry=pl.lit(False),
        cost_usd=pl.lit(0.0),
    )


def _reason(policy: Policy, row: Mapping[str, Any]) -> str | None:
    turns = json.loads(row["typed"]) if row.get("typed") is not None else []
    contents = [turn["content"] for turn in turns if not isinstance(turn["content"], str)]
    shown = {part["type"] for content in contents for part in content}
    beyond = [kind for kind in MEDIA if kind in shown and kind not in policy.modalities]
    if beyond:
        return cannot_read(beyond[0])
    uses_tools = row.get("tools") is not None or any("tool_calls" in turn for turn in turns)
    return f"{CANNOT}tools" if uses_tools and not policy.reads_tools else None


def _address(media: Path | None) -> Any:
    def address(part: Mapping[str, str]) -> str:
        if "url" in part or media is None:
            return part.get("url", "")
        return data_uri(media, part["media"])

    return address
