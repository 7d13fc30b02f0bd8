"""Who disagrees with the given labels: how every other judge orders the pairs that annotators have decided."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.judging.verdicts import choice_of, judges_of, response_scores, scored_from
from pairwright.assets.stages.basis import Input, Inputs
from pairwright.assets.stages.stage import Derived
from pairwright.assets.stages.view import View
from pairwright.assets.storage.store import Shard, Workspace, read_table
from pairwright.judges.base import Judge
from pairwright.judges.given import LABELS
from pairwright.judges.label import PAIR, Label
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Disagreements, types

CODE = 1
"""Raised when the same labels and verdicts would give other figures."""
TABLE = "disagreements"
MOST = 20
"""Prompts that are named of each judge."""


def disagreement_stages(recipe: Recipe) -> list[Derived]:
    """The table, where sources bring labels that a judge reads, and there are others to hold against them."""
    others = _others(recipe)
    if not others or len(others) == len(judges_of(recipe)):
        return []
    tables = dict.fromkeys([LABELS, *(table for judge in others for table in scored_from(judge))])
    return [
        Derived(
            name=TABLE,
            table=TABLE,
            fit=True,
            inputs=tuple(Input(table, every_shard=True) for table in tables),
            options=[[judge.name, judge.fingerprint, choice_of(judge)] for judge in others],
            code=CODE,
            make=partial(_table, others),
            doc="How often each judge orders two responses otherwise than the given labels do, and where most clearly.",
            schema=Disagreements,
            view=_view,
        )
    ]


def _others(recipe: Recipe) -> list[Judge]:
    return [judge for judge in judges_of(recipe) if not isinstance(judge, Label)]


def _table(judges: Sequence[Judge], inputs: Inputs) -> pl.DataFrame:
    """A row a judge, over the pairs that most annotators decide the same way."""
    counts: dict[str, Counter[str]] = {judge.name: Counter() for judge in judges}
    worst: dict[str, list[pl.DataFrame]] = {judge.name: [] for judge in judges}
    for shard in inputs.each_shard():
        labels = read_table(inputs.file(LABELS, shard))
        pairs = labels.drop_nulls("p_a").group_by(PAIR).agg(pl.col("p_a").mean()).filter(pl.col("p_a") != 0.5)
        for judge in judges:
            found = _compared(pairs, response_scores(judge, inputs, shard).collect())
            same, tied = found.filter(pl.col("sign") > 0).height, found.filter(pl.col("sign") == 0).height
            counts[judge.name].update(compared=found.height, same=same, tied=tied)
            worst[judge.name].append(_worst(found.filter(pl.col("sign") < 0)))
    return pl.DataFrame(
        [_row(name, counts[name], pl.concat(worst[name])) for name in counts], types(Disagreements), orient="row"
    )


def _compared(pairs: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """The pairs of which both sides have a score, with `margin`, that of the first less the second's, and `sign`: 1 for
    the label's order, -1 for the other."""
    rows = scores.drop_nulls("score").select("response_id", "score")  # the id names its prompt, too
    for side in ("a", "b"):
        pairs = pairs.join(rows.rename({"response_id": f"response_{side}", "score": side}), on=f"response_{side}")
    margin = pl.col("a") - pl.col("b")
    return pairs.with_columns(margin=margin, sign=margin.sign() * (pl.col("p_a") - 0.5).sign())


def _worst(rows: pl.DataFrame) -> pl.DataFrame:
    """Those of the widest margins."""
    rows = rows.select("prompt_id", margin=pl.col("margin").abs())
    return rows.sort("margin", "prompt_id", descending=[True, False]).head(MOST)


def _row(name: str, counts: Counter[str], worst: pl.DataFrame) -> tuple[str, int, int, int, int, list[str]]:
    otherwise = counts["compared"] - counts["same"] - counts["tied"]
    prompts = _worst(worst).get_column("prompt_id").unique(maintain_order=True).to_list()
    return name, counts["compared"], counts["same"], counts["tied"], otherwise, prompts


def against_labels(recipe: Recipe, workspace: Workspace) -> list[dict[str, Any]]:
    """For people, a row a judge; none where there are no labels, or nobody to hold against them."""
    for stage in disagreement_stages(recipe):
        stage.bring_up(workspace)
        return told(read_table(stage.file(workspace, None))).to_dicts()
    return []


def told(rows: pl.DataFrame) -> pl.DataFrame:
    """For people: shares instead of counts."""
    share = (pl.col("same") + pl.col("tied") / 2) / pl.col("compared")
    agrees = pl.when(pl.col("compared") > 0).then(pl.format("{}%", (share * 100).round(1)))
    return rows.select("judge", pairs="compared", agrees=agrees, ties="tied", otherwise="otherwise")


def _view(workspace: Workspace, shards: Sequence[Shard]) -> View:
    """A line a judge, and the prompts to look at: `pairwright explain` tells of each."""
    rows = read_table(workspace.root / f"{TABLE}.parquet")
    prompts = rows.select("judge", prompt="prompts").explode("prompt", empty_as_null=False)
    return View(
        {f"{name} orders otherwise": count for name, count in rows.select("judge", "otherwise").iter_rows()},
        {"given labels": views.table(told(rows)), "most clearly otherwise": views.table(prompts)},
    )
