"""CHES: how alike a model's hidden states make the two sides; alike pairs lower the chosen side's likelihood in DPO.

With S the sum of the last layer's states that predict the tokens of a side, its end included, and |y| their number:
CHES = <S+, S-> - |S+|^2, ln-CHES = <S+, S-> / (|y+||y-|) - |S+|^2 / |y+|^2 ("Unintentional Unalignment"). All come
from the stored inner products, so another pairing or share runs no model.
"""

from typing import Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from pairwright.assets.pairing.filters.base import Bounds, Filter
from pairwright.models.local.request import PassRequest
from pairwright.schemas.models import CausalModel


class Ches(Filter):
    """Keeps pairs whose sides a model tells apart."""

    kind: Literal["ches"] = "ches"
    model: CausalModel
    """Reads the responses; the model that will be trained, or one like it."""
    measure: Literal["ln-ches", "ches", "edit-distance", "last-hidden"] = "ln-ches"
    """edit-distance: less the Levenshtein distance of the token ids over the longer length. last-hidden: the inner
    product of the states at the last tokens. All are higher the more alike the sides are."""
    maximum: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Greatest value that stays."""
    best: ClassVar[Literal["largest", "smallest"]] = "smallest"

    def need(self) -> PassRequest:
        """Inner products, or token ids."""
        return PassRequest(self.model, wants=frozenset({"tokens" if self.measure == "edit-distance" else "hidden"}))

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """Likeness of the sides; not known where the model could not read one of them."""
        if self.measure == "edit-distance":
            return _edit(pairs)
        products = _products(pairs)
        column = "last" if self.measure == "last-hidden" else "sums"
        across, own = pl.col(f"{column}_rejected"), pl.col(f"{column}_chosen")
        if self.measure == "ln-ches":
            chosen, rejected = pl.col("positions_chosen"), pl.col("positions_rejected")
            score = across / (chosen * rejected) - own / (chosen * chosen)
        else:
            score = across if self.measure == "last-hidden" else across - own
        return products.select(score.alias("value")).to_series()

    def bounds(self) -> Bounds:
        """Up to the maximum."""
        return Bounds(maximum=self.maximum)


def _products(pairs: pl.DataFrame) -> pl.DataFrame:
    """Per pair, in its order: inner products of chosen with itself and with rejected, and both sides' positions."""
    sides = pairs.select(
        "chosen_id",
        "rejected_id",
        gram=pl.col("likelihood_chosen").struct.field("gram"),
        # the end is predicted too, so a side of n tokens has n + 1 predicting states
        positions_chosen=pl.col("likelihood_chosen").struct.field("tokens").cast(pl.Float64) + 1,
        positions_rejected=pl.col("likelihood_rejected").struct.field("tokens").cast(pl.Float64) + 1,
    ).with_row_index("pair")
    entries = sides.select("pair", "chosen_id", "rejected_id", "gram").explode("gram").unnest("gram")
    picked = entries.group_by("pair").agg(
        pl.col(column).filter(pl.col("other") == pl.col(f"{side}_id")).first().alias(f"{column}_{side}")
        for column in ("sums", "last")
        for side in ("chosen", "rejected")
    )
    return sides.join(picked, on="pair", how="left", maintain_order="left")


def _edit(pairs: pl.DataFrame) -> pl.Series:
    """Less the normalised Levenshtein distance of the token ids; two empty texts are alike: 0."""
    from rapidfuzz.distance import Levenshtein

    ids = [pairs.get_column(f"likelihood_{side}").struct.field("token_ids") for side in ("chosen", "rejected")]
    distances = [
        None if a is None or b is None else -Levenshtein.normalized_distance(a, b)
        for a, b in zip(*(one.to_list() for one in ids), strict=True)
    ]
    return pl.Series("value", distances, pl.Float64)
