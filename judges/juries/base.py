"""The interface of a jury: what it must know of the whole data set, and what it makes of a shard's scores."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

import polars as pl
from pydantic import Field

from pairwright.schemas.kinds import Member

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Jury(Member, family="jury"):
    """How judges are combined into one utility per response."""

    fit_columns: ClassVar[tuple[str, ...]] = ("score",)
    """Which of prompt_id, response_id and score `fit` reads, of all shards: the fewer, the less memory."""

    method: str
    """Which jury it is."""
    weights: dict[str, Weight] = Field(default={})
    """Weight of a judge, by name; 1 unless given, 0 keeps its scores as columns only. `length` has 0 unless given, so
    long as another judge has a weight above 0."""

    def fit(self, scores: Iterable[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
        """What `combine` must know of the whole data set: a small table whose column `judge` names a judge, and beside
        it texts and finite numbers. By default there is nothing to know.

        `scores` are each judge's name and `fit_columns` over all responses, null where it gave none, one judge after
        the other; the rows are in no order that counts.
        """
        return pl.DataFrame(schema={"judge": pl.String})

    def fitted_by(self) -> dict[str, Any]:
        """What the state depends on beside the scores: by default, everything that makes the jury what it is."""
        return {"jury": self.stamp()}

    @abstractmethod
    def combine(self, scores: pl.DataFrame, state: pl.DataFrame, weights: Mapping[str, float]) -> pl.DataFrame:
        """Rows of the preferences table, with the structs `scores` and `z` that have a field per judge.

        `scores` has prompt_id, response_id and, per judge, `<judge>` (score or null) and `<judge>!` (reason or null),
        of whole prompts; `state` is what `fit` returned, judges in the recipe's order; `weights` has every judge in
        that order. Rows of a prompt depend on its scores, the state and the weights alone.
        """
