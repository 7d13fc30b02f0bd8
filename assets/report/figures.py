"""The numbers behind the report: small frames, each from narrow columns or from a sample of whole prompts."""

from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.auditing.failures import outcomes
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.storage.store import Workspace, scan
from pairwright.schemas.recipe import Recipe

RESPONSES = 200_000
"""Responses that figures over texts and pairs of responses look at: the prompts with the smallest ids, whose ids are
hashes, so a uniform draw."""
BINS = 30
POLICIES = 8
"""Policies with a colour of their own."""
CORRELATION = 2
"""Decimals of a correlation."""
CONFIDENCE = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""


class Sample(NamedTuple):
    """Which prompts are looked at."""

    below: str | None
    """Prompts whose id is smaller; None for all."""
    share: float

    @classmethod
    def of(cls, responses: int) -> "Sample":
        """A share of the prompts with about RESPONSES responses."""
        if responses <= RESPONSES:
            return cls(None, 1.0)
        share = RESPONSES / responses
        return cls(f"{int(share * 2**32):08x}", share)

    def take(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The rows of these prompts; files are sorted by prompt, so the others are not even read."""
        return rows if self.below is None else rows.filter(pl.col("prompt_id") < self.below)


def sampled_responses(recipe: Recipe, workspace: Workspace, sample: Sample) -> pl.DataFrame:
    """prompt_id, response_id, policies, length (characters), utility, and a column per judge with its scores."""
    names = [judge.name for judge in judges_of(recipe)]
    scores = sample.take(scan(workspace.files("preferences"))).select(
        "prompt_id",
        "response_id",
        "utility",
        *(pl.col("scores").struct.field(name).alias(f"score:{name}") for name in names),
    )
    texts = sample.take(scan(workspace.files("responses"))).select(
        "prompt_id", "response_id", "policies", length=pl.col("text").str.len_chars()
    )
    joined = scores.join(texts, on=["prompt_id", "response_id"], how="left")
    return joined.collect(engine="streaming").sort("prompt_id", "response_id")


def main_policies(responses: pl.DataFrame) -> list[str]:
    """The commonest policies, at most POLICIES."""
    counts = responses.select(policy="policies").explode("policy", empty_as_null=False).group_by("policy").len()
    return counts.sort("len", "policy", descending=[True, False]).head(POLICIES).get_column("policy").sort().to_list()


def distribution(responses: pl.DataFrame, judge: str, policies: list[str]) -> pl.DataFrame:
    """How a judge's scores spread for each policy: policy, score (a bin's middle), share of the policy's responses.

    The outer half percent on each side is in the outermost bins.
    """
    long = (
        responses.select("policies", score=f"score:{judge}")
        .drop_nulls("score")
        .explode("policies", empty_as_null=False)
        .rename({"policies": "policy"})
        .filter(pl.col("policy").is_in(policies))
    )
    low, high = (long.get_column("score").quantile(q) or 0.0 for q in (0.005, 0.995))
    width = (high - low) / BINS or 1.0
    slot = ((pl.col("score") - low) / width).floor().clip(0, BINS - 1).cast(pl.Int64)
    counts = long.group_by("policy", slot=slot).len()
    slots = pl.select(slot=pl.int_range(BINS)).join(long.select(pl.col("policy").unique()), how="cross")
    return (
        slots.join(counts, on=["policy", "slot"], how="left")
        .with_columns(pl.col("len").fill_null(0))
        .select(
            "policy",
            score=_round(low + (pl.col("slot") + 0.5) * width),
            share=_round(pl.col("len") / pl.col("len").sum().over("policy")),
        )
        .sort("policy", "score")
    )


def compared(responses: pl.DataFrame) -> pl.DataFrame:
    """Every two responses of a prompt, in id order: each column twice, the second with the suffix `_right`."""
    both = responses.join(responses, on="prompt_id", suffix="_right")
    return both.filter(pl.col("response_id") < pl.col("response_id_right"))


def win_rates(both: pl.DataFrame, policies: list[str]) -> pl.DataFrame:
    """How often a policy's response beats another's on the same prompt: policy, against, rate, low, high, prompts.

    Ties count one half. A prompt counts once however many responses it has; the interval is Wilson's over prompts.
    """
    ranked = both.filter(pl.col("utility").is_not_null() & pl.col("utility_right").is_not_null())
    won = ((pl.col("utility") - pl.col("utility_right")).sign() + 1) / 2
    forth = ranked.select("prompt_id", policy="policies", against="policies_right", won=won)
    back = forth.select("prompt_id", policy="against", against="policy", won=1 - pl.col("won"))
    per_prompt = (
        pl.concat([forth, back])
        .explode("policy", empty_as_null=False)
        .explode("against", empty_as_null=False)
        .filter(
            (pl.col("policy") != pl.col("against"))
            & pl.col("policy").is_in(policies)
            & pl.col("against").is_in(policies)
        )
        .group_by("prompt_id", "policy", "against")
        .agg(pl.col("won").mean())
    )
    counted = per_prompt.group_by("policy", "against").agg(rate=pl.col("won").mean(), prompts=pl.len())
    return interval(counted).sort("policy", "against")


def interval(rates: pl.DataFrame) -> pl.DataFrame:
    """With `low` and `high`: Wilson's 95 % interval of `rate` over `prompts` independent draws (Wilson 1927)."""
    n, p, z = pl.col("prompts"), pl.col("rate"), CONFIDENCE
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)).sqrt()
    return rates.with_columns(rate=_round(p), low=_round(middle - half), high=_round(middle + half))


def length_bias(both: pl.DataFrame, judges: list[str]) -> pl.DataFrame:
    """How often the longer of two responses of a prompt scores better: who, rate, pairs; ties count one half.

    Over all responses, whether they are in a released pair or not.
    """
    longer = (pl.col("length").cast(pl.Int64) - pl.col("length_right").cast(pl.Int64)).sign()
    rows = []
    for who, column in [("jury", "utility"), *((name, f"score:{name}") for name in judges)]:
        agrees = ((pl.col(column) - pl.col(f"{column}_right")).sign() * longer + 1) / 2
        rate, pairs = both.filter(longer != 0).select(agrees.mean().alias("rate"), agrees.count().alias("pairs")).row(0)
        if pairs:
            rows.append({"who": who, "rate": rate, "pairs": pairs})
    return pl.DataFrame(rows, schema={"who": pl.String, "rate": pl.Float64, "pairs": pl.Int64})


def longer_chosen(workspace: Workspace) -> pl.DataFrame:
    """How often the chosen side of a released pair is the longer one: who, rate, pairs; equal ones count one half."""
    pairs = scan(workspace.files("pairs")).filter("kept").select("chosen_id", "rejected_id")
    lengths = scan(workspace.files("responses")).select("response_id", length=pl.col("text").str.len_chars())
    for side in ("chosen", "rejected"):
        one = lengths.select(pl.col("response_id").alias(f"{side}_id"), pl.col("length").cast(pl.Int64).alias(side))
        pairs = pairs.join(one, on=f"{side}_id", how="left")
    rate = ((pl.col("chosen") - pl.col("rejected")).sign() + 1).sum() / 2 / pl.len()
    found = pairs.select(who=pl.lit("released pairs"), rate=rate, pairs=pl.len().cast(pl.Int64))
    return found.collect(engine="streaming")


def correlations(responses: pl.DataFrame, judges: list[str]) -> pl.DataFrame:
    """Pearson correlation of each two judges' scores over the responses that both scored: a, b, r, in two decimals.

    Two are what the page shows: rounded here to more and there again, 0.4446 would be 0.45.
    """
    rows = [
        {"a": a, "b": b, "r": responses.select(pl.corr(f"score:{a}", f"score:{b}")).item()}
        for a in judges
        for b in judges
    ]
    return pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String, "r": pl.Float64}).with_columns(
        pl.when(pl.col("r").is_finite()).then(pl.col("r").round(CORRELATION))
    )


def margin_agreement(workspace: Workspace) -> pl.DataFrame:
    """How many judges agree with a pair, by margin: margin and agreement (means), pairs; twenty equal groups."""
    pairs = scan(workspace.files("pairs")).select("margin", "label_confidence").collect(engine="streaming")
    group = (pl.col("margin").rank("ordinal") - 1) * 20 // pl.len()
    return (
        pairs.group_by(group=group)
        .agg(_round(pl.col("margin").mean()), agreement=_round(pl.col("label_confidence").mean()), pairs=pl.len())
        .sort("group")
        .drop("group")
    )


def verdicts(recipe: Recipe, workspace: Workspace) -> list[dict[str, Any]]:
    """Per judge: its outcome over the present responses; over all verdicts that are kept, how many were judged again,
    their cost in USD, and where both orders were asked, the position bias."""
    found = []
    outcome = {one.name: one for one in outcomes(recipe, workspace) if one.part == "judge"}
    for judge in judges_of(recipe):
        rows = scan(workspace.files(verdicts_table(judge)))
        both_orders = "per_order" in rows.collect_schema()
        row = rows.select(
            again=(pl.col("round") > 0).sum(),
            cost=pl.col("cost_usd").sum().round(4),
            **(_position() if both_orders else {}),
        )
        found.append({"outcome": outcome[judge.name], **row.collect(engine="streaming").row(0, named=True)})
    return found


def _position() -> dict[str, pl.Expr]:
    """`first`: how often the response shown first wins; `flips`: how often the two orders disagree."""
    a_first, b_first = (
        pl.col("per_order").list.get(0, null_on_oob=True),
        pl.col("per_order").list.get(1, null_on_oob=True),
    )
    both = a_first.is_not_null() & b_first.is_not_null()
    flipped = (a_first - 0.5).sign() * (b_first - 0.5).sign() < 0
    return {
        "first": ((a_first + 1 - b_first) / 2).filter(both).mean().round(4),
        "flips": flipped.filter(both).mean().round(4),
    }


def _round(value: pl.Expr) -> pl.Expr:
    """Few digits: what a sum's order changes in the last ones must not change the page."""
    return value.round_sig_figs(4)
