"""The interface of an export format, and the expressions that turn a release's columns into a trainer's."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import polars as pl
from pydantic import model_validator

from pairwright.schemas.chat_messages import Reasoning
from pairwright.schemas.kinds import Kind

PLAIN_LOSES = "prompts that are more than one user turn (several turns, or a system prompt)"
SYSTEM_ROLES = ["system", "developer"]


class Format(Kind, family="format"):
    """How a release's rows look to a trainer. One class a target; everything is an expression over the table."""

    table: ClassVar[Literal["pairs", "rankings"]] = "pairs"
    """Which table of the release is read."""
    ending: ClassVar[Literal["parquet", "jsonl"]] = "parquet"
    """What kind of file the target reads."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Columns that it reads and that not every release has."""
    complete: ClassVar[tuple[str, ...]] = ()
    """Columns that go along only where every row of the release has them: readers stop at a null."""

    holds: ClassVar[frozenset[str]] = frozenset()
    """What it has a place for beside texts: `image`, `audio`, `video`, `tools`, `tool calls`. Rows that need more are
    left out, and counted by what they need."""
    reads_placeholders: ClassVar[bool] = False
    """Whether `<image>` in a text stands for a file, so that rows that only speak of it must be left out."""
    keeps_reasoning: ClassVar[bool] = False
    """Whether it has a place for reasoning apart from the answer."""

    reasoning: Reasoning = "strip"
    """What a response thought before its answer: left out; kept apart from it, where the format has a place for that;
    or put before it between `<think>` tags."""

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.reasoning == "keep" and not self.keeps_reasoning:
            raise ValueError(
                f"reasoning: keep, but {self.name} has no place for it apart from the answer; use strip or think-tags"
            )
        return self

    def content(self) -> dict[str, Any]:
        """Its options; reasoning is told where it is not left out, so that older exports stay what they are."""
        told = super().content()
        if told["reasoning"] == "strip":
            del told["reasoning"]
        return told

    def place(self) -> frozenset[str]:
        """What it holds with its options."""
        return self.holds

    def beside_typed(self, dataset: str, files: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
        """As `beside`, of files that have further columns: `tools`, `images`, …"""
        return self.beside(dataset, files)

    def typed(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """The table of a release that holds more than texts, for `rows`: by default its texts alone."""
        return table

    @abstractmethod
    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """The target's rows, in the order of the release."""

    @abstractmethod
    def loses(self) -> list[str]:
        """What the target has no place for: columns, and rows that `fits` leaves out."""

    def fits(self) -> pl.Expr | None:
        """Which rows of the table the target can hold; None when it can hold all."""
        return None

    def files(self, split: str, table: pl.LazyFrame) -> dict[str, pl.LazyFrame]:
        """File name without its ending → rows, for one split."""
        return {split: self.rows(table)}

    def beside(self, dataset: str, files: Sequence[str]) -> dict[str, str]:
        """Further small files that the target wants: name → text."""
        return {}


class Plain(Format):
    """A format with a conversational and a plain variant."""

    plain: bool = False
    """Prompt and responses as bare text instead of lists of messages."""

    def place(self) -> frozenset[str]:
        """Bare text holds nothing else."""
        return frozenset() if self.plain else self.holds

    def fits(self) -> pl.Expr | None:
        """Bare text can hold a single user turn only."""
        return one_user_turn() if self.plain else None

    def shed(self) -> list[str]:
        """What the plain variant loses beside what both lose."""
        return [PLAIN_LOSES] if self.plain else []


def roles() -> pl.Expr:
    """The roles of the prompt's turns."""
    return pl.col("prompt").list.eval(pl.element().struct.field("role"))


def one_user_turn() -> pl.Expr:
    """Whether the prompt is just what a user says."""
    return (pl.col("prompt").list.len() == 1) & (roles().list.first() == "user")


def alternating() -> pl.Expr:
    """Whether, after a leading system prompt, the user (or a tool) and the assistant take turns."""
    spoken = pl.when(roles().list.first().is_in(SYSTEM_ROLES)).then(roles().list.slice(1)).otherwise(roles())
    asked = spoken.list.gather_every(2).list.eval(pl.element().is_in(["user", "tool"])).list.all()
    answered = spoken.list.gather_every(2, 1).list.eval(pl.element() == "assistant").list.all()
    return asked & answered & (spoken.list.len() % 2 == 1)


def system_then_user() -> pl.Expr:
    """Whether the prompt is one user turn, with or without a system prompt before it."""
    led = (pl.col("prompt").list.len() == 2) & roles().list.first().is_in(SYSTEM_ROLES)
    return one_user_turn() | (led & (roles().list.last() == "user"))


def system() -> pl.Expr:
    """The text of a leading system prompt, or null."""
    first = pl.col("prompt").list.first()
    return pl.when(first.struct.field("role").is_in(SYSTEM_ROLES)).then(first.struct.field("content"))


def last_text(column: str) -> pl.Expr:
    """The text of a conversation's last turn, under the conversation's name."""
    return pl.col(column).list.last().struct.field("content").alias(column)


def conversation(column: str) -> pl.Expr:
    """The prompt and a side as one conversation, under the side's name."""
    return pl.concat_list("prompt", column).alias(column)


def also_there(table: pl.LazyFrame, *names: str) -> list[str]:
    """Those of the columns that the table has."""
    found = table.collect_schema().names()
    return [name for name in names if name in found]


def answers(plain: bool, column: str) -> pl.Expr:
    """A side: its text, or its turns."""
    return last_text(column) if plain else pl.col(column)


def unpaired(pairs: pl.LazyFrame) -> pl.LazyFrame:
    """Each response once, with `completion` (its turns) and `label`: whether it was chosen.

    A response that is chosen in one pair and rejected in another has no label and is left out; the ids decide, over
    narrow columns, before any text is read.
    """
    narrow = pairs.select("pair_id", "prompt_id", "chosen_id", "rejected_id").collect(engine="streaming")
    sides = [
        narrow.select("pair_id", "prompt_id", side=pl.lit(side), response=f"{side}_id")
        for side in ("chosen", "rejected")
    ]
    marks = (
        pl.concat(sides)
        .filter(pl.col("side").n_unique().over("prompt_id", "response") == 1)
        .unique(["prompt_id", "response"], keep="first", maintain_order=True)
        .group_by("pair_id")
        .agg(sides=pl.col("side").sort())
    )
    if marks.height == narrow.height and marks.get_column("sides").list.len().min() == 2:
        marked = pairs.with_columns(
            sides=pl.lit(["chosen", "rejected"])
        )  # no response is in two pairs: no join is needed
    else:
        marked = pairs.join(marks.lazy(), on="pair_id", how="inner", maintain_order="left")
    labelled = pl.struct(
        completion=pl.when(pl.col("side") == "chosen").then("chosen").otherwise("rejected"),
        label=pl.col("side") == "chosen",
    )
    return marked.explode("sides", empty_as_null=False).rename({"sides": "side"}).with_columns(labelled.struct.unnest())


UNPAIRED_LOSES = [
    "which response was compared with which, scores and margins",
    "responses that are chosen in one pair and rejected in another",
]
