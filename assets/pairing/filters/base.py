"""The interface of a filter: a value for each pair, and bounds or a share that decide which values stay."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

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


State = Any
"""What a filter knows of all pairs: finite numbers, texts, and lists and mappings of them; None: nothing."""


def state_text(state: State) -> str:
    """A state as it is kept."""
    return json.dumps({"cutoff": state} if isinstance(state, Cutoff) else {"state": state}, allow_nan=False)


def state_from(text: str) -> State:
    """A state that was kept."""
    found = json.loads(text)
    return Cutoff(*found["cutoff"]) if "cutoff" in found else found["state"]


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

    @model_validator(mode="after")
    def _one_fit(self) -> Self:
        if self.keep_fraction is not None and _fits_itself(self):
            raise ValueError(f"{self.name} looks at the whole data set in its own way; leave keep_fraction out")
        return self

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

    @property
    def fitted(self) -> bool:
        """Whether what stays depends on the other pairs, so that `fit` must see all of them first."""
        return self.keep_fraction is not None or _fits_itself(self)

    def fit(self, values: pl.DataFrame) -> State:
        """What `reason` must know of the whole data set, from `values` (pair_id, value) of the pairs that got this far:
        where the share ends. A leaf class may know something else in its place, such as a median."""
        values = values.drop_nulls()
        if self.keep_fraction is None or values.is_empty():
            return None
        keep = -(-values.height * Fraction(str(self.keep_fraction)) // 1)
        order = values.sort("value", "pair_id", descending=[self.best == "largest", False])
        return Cutoff(*order.select("value", "pair_id").row(int(keep) - 1))

    def kept(self, value: pl.Expr, state: State) -> pl.Expr:
        """Whether a value stays."""
        return self.reason(value, state).is_null()

    def reason(self, value: pl.Expr, state: State) -> pl.Expr:
        """Why a value goes, with number and bound; null where it stays. One that is not known meets no bound.

        `state` is what `fit` returned, None where there was nothing to fit; a leaf class that overrides one overrides
        the other.
        """
        bounds, shown, label = self.bounds(), value.round_sig_figs(4), f"{self.name} "
        reasons = [pl.when(value.is_null() & (self.unknown == "drop")).then(pl.lit(f"{label}has no value"))]
        if bounds.minimum is not None:
            below = pl.format(f"{label}{{}} is below the minimum {bounds.minimum:g}", shown)
            reasons.append(pl.when(value < bounds.minimum).then(below))
        if bounds.maximum is not None:
            above = pl.format(f"{label}{{}} is above the maximum {bounds.maximum:g}", shown)
            reasons.append(pl.when(value > bounds.maximum).then(above))
        if isinstance(state, Cutoff):
            cutoff = state
            beyond = value < cutoff.value if self.best == "largest" else value > cutoff.value
            beyond |= (value == cutoff.value) & (pl.col("pair_id") > cutoff.pair_id)
            share = f"the {self.best} {self.keep_fraction:.4%}".replace(".0000%", "%")
            text = pl.format(f"{label}{{}} is not among {share} (cutoff {cutoff.value:.4g})", shown)
            reasons.append(pl.when(beyond).then(text))
        return pl.coalesce(*reasons)


def _fits_itself(one: Filter) -> bool:
    """Whether its class has a `fit` of its own."""
    return type(one).fit is not Filter.fit
