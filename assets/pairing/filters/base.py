"""The interface of a filter: a value for each pair, and bounds or a share that decide which values stay."""

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, NamedTuple

import polars as pl
from pydantic import Field

from pairwright.models.local.request import PassRequest
from pairwright.schemas.kinds import Kind

Share = Annotated[float, Field(gt=0, le=1)]


class Bounds(NamedTuple):
    """Values from `minimum` to `maximum` stay; None leaves a side open."""

    minimum: float | None = None
    maximum: float | None = None


class Cutoff(NamedTuple):
    """The last pair that a share keeps, by (value, pair_id): ties at the cutoff are decided by id."""

    value: float
    pair_id: str


class Filter(Kind, family="filter"):
    """Annotates candidate pairs. A leaf class says what the value is; bounds or a share say what stays."""

    needs_texts: ClassVar[bool] = False
    """Whether `value` reads the columns `chosen` and `rejected`, which costs a join."""
    best: ClassVar[Literal["largest", "smallest"]] = "largest"
    """Which end `keep_fraction` keeps."""

    keep_fraction: Share | None = None
    """Keep this share of the pairs that the filters before it kept, best first, over the whole data set; those without
    a value do not count."""
    unknown: Literal["keep", "drop"] = "keep"
    """What becomes of pairs that it has no value for, as where a model cannot read a text that is too long. Either way
    the funnel says how many they are."""

    def need(self) -> PassRequest | None:
        """What it asks of a causal model: `value` then finds the model's row of each side in the struct columns
        `likelihood_chosen` and `likelihood_rejected`."""
        return None

    def needs(self) -> Sequence[PassRequest]:
        """The same as a list."""
        return [need] if (need := self.need()) else []

    @abstractmethod
    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """One number a pair, in the order of `pairs`; null or NaN where it is not known."""

    def values(self, pairs: pl.DataFrame) -> pl.Series:
        """`value` as stored: null where it is not known, which is neither below a bound nor above one."""
        return self.value(pairs).cast(pl.Float64).fill_nan(None)

    def bounds(self) -> Bounds:
        """Which values stay, whatever the other pairs are."""
        return Bounds()

    def cutoff(self, values: pl.DataFrame) -> Cutoff | None:
        """Where the share ends, among `values` (pair_id, value) of the pairs that got this far."""
        values = values.drop_nulls()
        if self.keep_fraction is None or values.is_empty():
            return None
        keep = -(-values.height * Fraction(str(self.keep_fraction)) // 1)
        order = values.sort("value", "pair_id", descending=[self.best == "largest", False])
        return Cutoff(*order.select("value", "pair_id").row(int(keep) - 1))

    def kept(self, value: pl.Expr, cutoff: Cutoff | None) -> pl.Expr:
        """Whether a value stays."""
        return self.reason(value, cutoff).is_null()

    def reason(self, value: pl.Expr, cutoff: Cutoff | None) -> pl.Expr:
        """Why a value goes, with number and bound; null where it stays. One that is not known meets no bound."""
        bounds, shown, label = self.bounds(), value.round_sig_figs(4), f"{self.name} "
        reasons = [pl.when(value.is_null() & (self.unknown == "drop")).then(pl.lit(f"{label}has no value"))]
        if bounds.minimum is not None:
            below = pl.format(f"{label}{{}} is below the minimum {bounds.minimum:g}", shown)
            reasons.append(pl.when(value < bounds.minimum).then(below))
        if bounds.maximum is not None:
            above = pl.format(f"{label}{{}} is above the maximum {bounds.maximum:g}", shown)
            reasons.append(pl.when(value > bounds.maximum).then(above))
        if cutoff is not None:
            beyond = value < cutoff.value if self.best == "largest" else value > cutoff.value
            beyond |= (value == cutoff.value) & (pl.col("pair_id") > cutoff.pair_id)
            share = f"the {self.best} {self.keep_fraction:.4%}".replace(".0000%", "%")
            text = pl.format(f"{label}{{}} is not among {share} (cutoff {cutoff.value:.4g})", shown)
            reasons.append(pl.when(beyond).then(text))
        return pl.coalesce(*reasons)
