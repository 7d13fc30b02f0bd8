"""OpenRLHF: whole conversations, to which it applies the tokenizer's chat template."""

from typing import Literal

import polars as pl

from pairwright.assets.publishing.formats.base import Format, conversation


class OpenRlhf(Format):
    """`--data.chosen_key chosen --data.rejected_key rejected --data.apply_chat_template`, without a prompt key."""

    kind: Literal["openrlhf"] = "openrlhf"
    ending = "jsonl"

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """chosen, rejected, margin; it cuts the prompt off at the last turn itself."""
        return table.select(conversation("chosen"), conversation("rejected"), "margin")

    def loses(self) -> list[str]:
        """The rest of the pair."""
        return ["rankings", "ids, policies and scores other than the margin"]
