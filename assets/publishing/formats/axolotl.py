"""Axolotl: chat-template preferences and user-defined KTO, each with the YAML stanza to paste."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal

import polars as pl
import yaml

from pairwright.assets.publishing.formats.base import (
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
    settings: ClassVar[dict[str, Any]] = {"rl": "dpo"}
    reads: ClassVar[dict[str, Any]]
    """How the data set is described, but for its path."""

    def beside(self, dataset: str, files: Sequence[str]) -> dict[str, str]:
        """`axolotl.yaml`: to be pasted into a configuration; paths start where Axolotl is started."""
        stanza = dict(self.settings)
        held_out = "validation" if any(name.startswith("validation") for name in files) else "test"
        for split, key in (("train", "datasets"), (held_out, "test_datasets")):
            entries = [
                {"path": name, "ds_type": "json", "split": "train", **self.described(name)}
                for name in files
                if name.startswith(split)
            ]
            if entries:
                stanza[key] = entries
        return {"axolotl.yaml": yaml.safe_dump(stanza, sort_keys=False)}

    def described(self, file: str) -> dict[str, Any]:
        """How a file's entry says that it is read."""
        return deepcopy(self.reads)


ROLES = {"user": ["user"], "assistant": ["assistant"], "system": ["system", "developer"], "tool": ["tool"]}
"""Its role ← ours: without it, Axolotl stops at a developer's turn."""


class AxolotlChat(Axolotl):
    """`type: chat_template.default`."""

    kind: Literal["axolotl"] = "axolotl"
    reads: ClassVar[dict[str, Any]] = {
        "type": "chat_template.default",
        "field_messages": "messages",
        "field_chosen": "chosen",
        "field_rejected": "rejected",
        "roles": ROLES,
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
    aliases = ("argilla",)
    reads: ClassVar[dict[str, Any]] = {"type": "chat_template.argilla_chat", "roles": ROLES}

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """chosen and rejected as whole conversations."""
        return table.select(conversation("chosen"), conversation("rejected"))

    def loses(self) -> list[str]:
        """Only texts stay."""
        return ["rankings", "ids, policies, scores and margins"]


class AxolotlKto(Axolotl):
    """`user_defined.default` of its KTO.

    Prompts with a system prompt have a file of their own: Axolotl uses the column `system` only where the entry's
    `prompt_format` names it, and stops at a row in which it is then empty.
    """

    kind: Literal["axolotl-kto"] = "axolotl-kto"
    settings: ClassVar[dict[str, Any]] = {"rl": "kto", "remove_unused_columns": False}
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

    def files(self, split: str, table: pl.LazyFrame) -> dict[str, pl.LazyFrame]:
        """`<split>` without, `<split>_system` with a system prompt."""
        led = system().is_not_null()
        return {split: self.rows(table.filter(~led)), f"{split}_system": self.rows(table.filter(led))}

    def described(self, file: str) -> dict[str, Any]:
        """With the system prompt before the prompt, where there is one."""
        entry = super().described(file)
        if file.endswith("_system.jsonl"):
            entry["type"]["prompt_format"] = "{system}\n\n{prompt}"
        return entry

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """system, prompt, completion, label."""
        return unpaired(table).select(
            system().fill_null("").alias("system"),
            last_text("prompt"),
            last_text("completion"),
            "label",
        )

    def fits(self) -> pl.Expr:
        """The prompt is one text."""
        return system_then_user()

    def loses(self) -> list[str]:
        """The pairing itself."""
        return [*UNPAIRED_LOSES, "conversations of several turns"]
