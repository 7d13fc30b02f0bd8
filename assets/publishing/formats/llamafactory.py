"""LLaMA-Factory: alpaca, sharegpt and KTO, each with the `dataset_info.json` that registers it."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import polars as pl

from pairwright.assets.publishing.formats.base import (
    UNPAIRED_LOSES,
    Format,
    also_there,
    alternating,
    last_text,
    system,
    system_then_user,
    unpaired,
)
from pairwright.assets.publishing.formats.typed import (
    CALLS,
    canonical_pairs,
    media_kinds,
    media_of,
    text_with_placeholders,
)
from pairwright.schemas.chat_messages import Reasoning, tagged
from pairwright.schemas.media import NAME
from pairwright.schemas.tool_calls import tools_of

ODD = "prompts in which user and assistant do not take turns"
MEDIA_FOLDER = "media"
"""Where files of images, sounds and films lie beside the rows: pass it as `media_dir`'s folder."""
COLUMNS = {"image": "images", "audio": "audios", "video": "videos"}
SPEAKERS = {
    "function_call": "function_call",
    "system": "system",
    "developer": "system",
    "user": "human",
    "tool": "observation",
    "assistant": "gpt",
}


class LlamaFactory(Format):
    """What its formats share: JSON Lines and an entry in `dataset_info.json` for each split."""

    ending = "jsonl"
    describes: ClassVar[dict[str, Any]]
    """The entry, but for the file's name."""

    def beside(self, dataset: str, files: Sequence[str]) -> dict[str, str]:
        """`dataset_info.json`: put its entries into the one in LLaMA-Factory's data folder, or pass `dataset_dir`."""
        info = {f"{dataset}_{file.removesuffix('.jsonl')}": {"file_name": file, **self.describes} for file in files}
        return {"dataset_info.json": json.dumps(info, indent=2) + "\n"}


class Turns(LlamaFactory):
    """What both layouts of turns share: calls are turns of their own, media are files that placeholders stand for."""

    holds = frozenset({*COLUMNS, *CALLS})
    reads_placeholders = True

    def typed(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """Prompt and sides as turns of texts, and the columns of tools and media."""
        table = canonical_pairs(table)
        turn = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
        told = {"prompt": "turns", "chosen": "chosen_turns", "rejected": "rejected_turns"}
        made = {
            name: pl.col(source).map_elements(partial(_texts, self.reasoning), return_dtype=turn)
            for name, source in told.items()
        }
        if "tools" in table.collect_schema():
            made["tools"] = pl.col("tools").map_elements(_tools, return_dtype=pl.String).fill_null("")
        kinds = media_kinds(table)
        for kind in kinds:
            files = partial(_files, kind)
            made[COLUMNS[kind]] = pl.col("turns").map_elements(files, return_dtype=pl.List(pl.String))
        return table.with_columns(**made)

    def extras(self, table: pl.LazyFrame) -> list[str]:
        """The columns of tools and media that the table has."""
        return also_there(table, "tools", *COLUMNS.values())

    def beside_typed(self, dataset: str, files: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
        """With the columns of tools and media among those that the entry names."""
        info = json.loads(self.beside(dataset, files)["dataset_info.json"])
        for entry in info.values():
            entry["columns"] |= {name: name for name in columns}
        return {"dataset_info.json": json.dumps(info, indent=2) + "\n"}


def _texts(reasoning: Reasoning, turns: str) -> list[dict[str, str]]:
    """Canonical messages as turns of text; a turn that calls tools is the JSON of the calls."""
    made = []
    for turn in json.loads(turns):
        content, role = text_with_placeholders(turn["content"]), turn["role"]
        if "tool_calls" in turn:
            calls = [{"name": one["name"], "arguments": one["arguments"]} for one in turn["tool_calls"]]
            content = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
            role = "function_call"
        elif reasoning == "think-tags":
            content = tagged(turn.get("reasoning"), content)
        made.append({"role": role, "content": content})
    return made


def _tools(tools: str) -> str:
    return json.dumps([one["function"] for one in tools_of(tools)], ensure_ascii=False)


def _files(kind: str, turns: str) -> list[str]:
    return [f"{MEDIA_FOLDER}/{one}" if NAME.fullmatch(one) else one for one in media_of(turns, kind)]


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


class ShareGpt(Turns):
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
        sides = [_turns(side).list.last().alias(side) for side in ("chosen", "rejected")]
        return table.select(_turns("prompt").alias("conversations"), *sides, *self.extras(table))

    def fits(self) -> pl.Expr:
        """It leaves out conversations that do not alternate, with a warning only: so we leave them out and count."""
        return alternating()

    def loses(self) -> list[str]:
        """Only texts stay."""
        return ["rankings", "ids, policies, scores and margins", ODD]


class LlamaFactoryKto(Turns):
    """`formatting: sharegpt` with a `kto_tag`."""

    kind: Literal["llamafactory-kto"] = "llamafactory-kto"
    describes: ClassVar[dict[str, Any]] = {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "kto_tag": "kto_tag"},
    }

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """conversations that end with the answer, kto_tag."""
        whole = pl.concat_list(_turns("prompt"), _turns("completion"))
        beside = self.extras(table)
        return unpaired(table).select(whole.alias("conversations"), *beside, kto_tag="label")

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
