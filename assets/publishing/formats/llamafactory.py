"""LLaMA-Factory: alpaca, sharegpt and KTO, each with the `dataset_info.json` that registers it."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import polars as pl

from pairwright.assets.publishing.formats.base import (
    UNPAIRED_LOSES,
    Format,
    alternating,
    last_text,
    system,
    system_then_user,
    unpaired,
)

ODD = "prompts in which user and assistant do not take turns"
SPEAKERS = {"system": "system", "developer": "system", "user": "human", "tool": "observation", "assistant": "gpt"}


class LlamaFactory(Format):
    """What its formats share: JSON Lines and an entry in `dataset_info.json` for each split."""

    ending = "jsonl"
    describes: ClassVar[dict[str, Any]]
    """The entry, but for the file's name."""

    def beside(self, dataset: str, files: Sequence[str]) -> dict[str, str]:
        """`dataset_info.json`: put its entries into the one in LLaMA-Factory's data folder, or pass `dataset_dir`."""
        info = {f"{dataset}_{file.removesuffix('.jsonl')}": {"file_name": file, **self.describes} for file in files}
        return {"dataset_info.json": json.dumps(info, indent=2) + "\n"}


class Alpaca(LlamaFactory):
    """`formatting: alpaca` with `ranking: true`."""

    kind: Literal["llamafactory-alpaca"] = "llamafactory-alpaca"
    aliases = ("alpaca",)
    describes: ClassVar[dict[str, Any]] = {
        "ranking": True,
        "columns": {"prompt": "instruction", "system": "system", "chosen": "chosen", "rejected": "rejected"},
    }

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """instruction, system (empty where there is none), chosen, rejected, all text."""
        return table.select(
            last_text("prompt").alias("instruction"),
            system().fill_null("").alias("system"),
            last_text("chosen"),
            last_text("rejected"),
        )

    def fits(self) -> pl.Expr:
        """Its history column is not used: the earlier turns of a conversation would be trained on as answers."""
        return system_then_user()

    def loses(self) -> list[str]:
        """Only texts stay."""
        return ["rankings", "ids, policies, scores and margins", "conversations of several turns"]


class ShareGpt(LlamaFactory):
    """`formatting: sharegpt` with `ranking: true`."""

    kind: Literal["llamafactory-sharegpt"] = "llamafactory-sharegpt"
    aliases = ("llamafactory", "sharegpt")
    describes: ClassVar[dict[str, Any]] = {
        "ranking": True,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
    }

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """conversations, chosen, rejected, with `from` and `value` in each turn."""
        answer = pl.lit("gpt").alias("from")
        sides = [pl.struct(answer, last_text(side).alias("value")).alias(side) for side in ("chosen", "rejected")]
        return table.select(_turns("prompt").alias("conversations"), *sides)

    def fits(self) -> pl.Expr:
        """It leaves out conversations that do not alternate, with a warning only: so we leave them out and count."""
        return alternating()

    def loses(self) -> list[str]:
        """Only texts stay."""
        return ["rankings", "ids, policies, scores and margins", ODD]


class LlamaFactoryKto(LlamaFactory):
    """`formatting: sharegpt` with a `kto_tag`."""

    kind: Literal["llamafactory-kto"] = "llamafactory-kto"
    describes: ClassVar[dict[str, Any]] = {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "kto_tag": "kto_tag"},
    }

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """conversations that end with the answer, kto_tag."""
        whole = pl.concat_list(_turns("prompt"), _turns("completion"))
        return unpaired(table).select(whole.alias("conversations"), kto_tag="label")

    def fits(self) -> pl.Expr:
        """As for sharegpt."""
        return alternating()

    def loses(self) -> list[str]:
        """The pairing itself."""
        return [*UNPAIRED_LOSES, ODD]


def _turns(column: str) -> pl.Expr:
    turn = pl.element().struct
    speaker = turn.field("role").replace_strict(SPEAKERS, return_dtype=pl.String)
    return pl.col(column).list.eval(pl.struct(speaker.alias("from"), turn.field("content").alias("value")))
