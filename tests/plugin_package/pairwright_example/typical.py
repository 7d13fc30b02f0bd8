"""A filter over the whole data set: no margin is far above the usual one."""

from typing import Literal

import polars as pl

from pairwright.assets.pairing.filters.base import Filter


class Typical(Filter):
    """Drops pairs whose margin is over `times` the median of all: what is so easy teaches little."""

    kind: Literal["example-typical"] = "example-typical"
    times: float = 3.0
    """Greatest margin that stays, in medians."""

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """The jury's margin."""
        return pairs.get_column("margin")

    def fit(self, values: pl.DataFrame) -> float:
        """The median of the pairs that got this far."""
        return float(values.select(pl.col("value").median().fill_null(0.0)).item())

    def reason(self, value: pl.Expr, state: float) -> pl.Expr:
        """That it is above, or what bounds say."""
        above = pl.format(f"{self.name} {{}} is over {self.times:g} × the median {state:.4g}", value.round_sig_figs(4))
        return pl.coalesce(super().reason(value, None), pl.when(value > self.times * state).then(above))
