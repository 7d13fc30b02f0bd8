"""TRL: preference data with an explicit or implicit prompt, unpaired data for KTO, and stepwise data."""

from typing import Literal

import polars as pl

from pairwright.assets.publishing.formats.base import (
    PLAIN_LOSES,
    UNPAIRED_LOSES,
    Format,
    Plain,
    also_there,
    answers,
    conversation,
    last_text,
    one_user_turn,
    unpaired,
)
from pairwright.assets.publishing.formats.typed import BOTH, CALLS, trl_messages

LOGPS = ("ref_chosen_logps", "ref_rejected_logps")


class TrlMessages(Plain):
    """What those that read messages with tools and reasoning share: each message is a JSON object of its own, since to
    a chat template an absent key is another thing than a null."""

    holds = frozenset({"image", BOTH, *CALLS})
    keeps_reasoning = True

    def typed(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """Messages as chat templates read them."""
        return trl_messages(table, self.reasoning)

    def extras(self, table: pl.LazyFrame) -> list[str]:
        """The columns `tools` and `images`, where messages go along that may need them."""
        return [] if self.plain else also_there(table, "tools", "images")


class Trl(TrlMessages):
    """DPO, ORPO, CPO and SimPO: an explicit prompt and two sides."""

    kind: Literal["trl"] = "trl"
    aliases = ("dpo", "ipo", "simpo", "orpo", "cpo", "preference")
    complete = LOGPS

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """prompt, chosen, rejected, both scores and the margin; the reference's log-probabilities where they are."""
        there = [name for name in LOGPS if name in table.collect_schema()]
        prompt = last_text("prompt") if self.plain else pl.col("prompt")
        sides = {side: answers(self.plain, side) for side in ("chosen", "rejected")}
        return table.select(
            prompt, "score_chosen", "score_rejected", "margin", *there, *self.extras(table), **sides
        ).select("prompt", "chosen", "rejected", pl.exclude("prompt", "chosen", "rejected"))

    def loses(self) -> list[str]:
        """Everything that a trainer does not read."""
        return ["rankings", "ids, policies and each judge's scores", *self.shed()]


class TrlImplicit(Format):
    """RewardTrainer: two whole conversations and the margin."""

    kind: Literal["trl-implicit"] = "trl-implicit"
    aliases = ("rm", "reward", "reward-model", "reward-modeling", "bradley-terry")
    holds = frozenset({BOTH, *CALLS})
    keeps_reasoning = True

    def typed(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """Messages as chat templates read them."""
        return trl_messages(table, self.reasoning)

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """chosen, rejected, margin."""
        beside = also_there(table, "tools")
        return table.select(conversation("chosen"), conversation("rejected"), "margin", *beside)

    def loses(self) -> list[str]:
        """Where the prompt ends can be read off the last turn."""
        return ["rankings", "ids, policies and scores other than the margin"]


class Kto(TrlMessages):
    """KTO and BCO: one response a row, good or bad."""

    kind: Literal["kto"] = "kto"
    aliases = ("bco", "unpaired", "binary")
    complete = LOGPS

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """prompt, completion, label; the reference's log-probability where it is."""
        prompt = last_text("prompt") if self.plain else pl.col("prompt")
        there = set(LOGPS) <= set(table.collect_schema())
        logps = {"ref_logps": pl.when("label").then(LOGPS[0]).otherwise(LOGPS[1])} if there else {}
        beside = self.extras(table)
        return unpaired(table).select(prompt, answers(self.plain, "completion"), "label", *beside, **logps)

    def loses(self) -> list[str]:
        """The pairing itself."""
        return [*UNPAIRED_LOSES, *self.shed()]


class TrlStepwise(Format):
    """PRM training: the steps of every ranked response, each right or wrong."""

    kind: Literal["trl-stepwise"] = "trl-stepwise"
    aliases = ("prm", "stepwise", "process-reward")
    table = "rankings"
    requires = ("steps", "step_labels")

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """prompt, completions, labels; a prompt's responses follow each other, best first."""
        both = table.select(last_text("prompt"), completions="steps", labels="step_labels")
        return both.explode("completions", "labels").drop_nulls("completions")

    def fits(self) -> pl.Expr:
        """The prompt is bare text."""
        return one_user_turn()

    def loses(self) -> list[str]:
        """Nothing is compared here."""
        return ["pairs, scores and ranks", PLAIN_LOSES, "responses without steps, and those that were not ranked"]
