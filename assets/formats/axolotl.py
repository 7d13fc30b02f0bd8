"""Axolotl: chat-template preferences and user-defined KTO, each with the YAML stanza to paste."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal

import polars as pl
import yaml

from pairwright.assets.formats.base import (
    UNPAIRED_LOSES,
    Format,
    conversation,
    last_text,
    system,
    system_then_user,
    unpaired,
)


class Axolotl(Format):
    """What its formats share: JSON Lines and a stanza of its configuration."""

    ending = "jsonl"
    method: ClassVar[str] = "dpo"
    reads: ClassVar[dict[str, Any]]
    """How the data set is described, but for its path."""

    def beside(self, dataset: str, files: Sequence[str]) -> dict[str, str]:
        """`axolotl.yaml`: to be pasted into a configuration; paths start where Axolotl is started."""
        stanza: dict[str, Any] = {"rl": self.method}
        for split, key in (("train", "datasets"), ("test", "test_datasets")):
            if f"{split}.jsonl" in files:
                stanza[key] = [{"path": f"{split}.jsonl", "ds_type": "json", "split": "train", **deepcopy(self.reads)}]
        return {"axolotl.yaml": yaml.safe_dump(stanza, sort_keys=False)}


class AxolotlChat(Axolotl):
    """`type: chat_template.default`."""

    kind: Literal["axolotl"] = "axolotl"
    reads: ClassVar[dict[str, Any]] = {
        "type": "chat_template.default",
        "field_messages": "messages",
        "field_chosen": "chosen",
        "field_rejected": "rejected",
    }

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """messages, and each side's last turn."""
        return table.select(
            pl.col("prompt").alias("messages"), pl.col("chosen").list.last(), pl.col("rejected").list.last()
        )

    def loses(self) -> list[str]:
        """Only texts stay."""
        return ["rankings", "ids, policies, scores and margins"]


class AxolotlArgilla(Axolotl):
    """`type: chat_template.argilla_chat`."""

    kind: Literal["axolotl-argilla"] = "axolotl-argilla"
    reads: ClassVar[dict[str, Any]] = {"type": "chat_template.argilla_chat"}

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """chosen and rejected as whole conversations."""
        return table.select(conversation("chosen").alias("chosen"), conversation("rejected").alias("rejected"))

    def loses(self) -> list[str]:
        """Only texts stay."""
        return ["rankings", "ids, policies, scores and margins"]


class AxolotlKto(Axolotl):
    """`user_defined.default` of its KTO."""

    kind: Literal["axolotl-kto"] = "axolotl-kto"
    method = "kto"
    reads: ClassVar[dict[str, Any]] = {
        "type": {
            "field_prompt": "prompt",
            "field_system": "system",
            "field_completion": "completion",
            "field_label": "label",
            "prompt_format": "{prompt}",
            "completion_format": "{completion}",
        }
    }

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """system (empty where there is none), prompt, completion, label."""
        return unpaired(table).select(
            system().fill_null("").alias("system"),
            last_text("prompt").alias("prompt"),
            last_text("completion").alias("completion"),
            "label",
        )

    def fits(self) -> pl.Expr:
        """The prompt is one text."""
        return system_then_user()

    def loses(self) -> list[str]:
        """The pairing itself."""
        return [*UNPAIRED_LOSES, "conversations of several turns"]
