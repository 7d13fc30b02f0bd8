"""How well judges and jury agree with gold labels, always beside what longer-wins and a coin would reach."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pairwright.assets.auditing.agreement import BASELINES, Agreement, agreement
from pairwright.assets.auditing.gold import Gold, as_source, find_gold, read_gold, source_rows
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.domains import route_shard, routers_of
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.judging.likelihood import passes, read_pass
from pairwright.assets.judging.verdicts import KEY, guides_first, judges_of, response_scores
from pairwright.assets.pairing.prefer import prefer
from pairwright.assets.storage.build_lock import building
from pairwright.assets.storage.repair import mended
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace, read_table, replacing, scan
from pairwright.schemas.ids import digest
from pairwright.schemas.options import ReleaseOptions
from pairwright.schemas.recipe import Recipe

JURY = "jury"


class Evaluation(NamedTuple):
    """Agreement of every judge with gold, and what became of gold's rows."""

    gold: Path
    rows: int
    used: int
    """Pairs that the judges are held against."""
    tied: int
    """Pairs that the label calls a tie, which no order can agree with."""
    left_out: dict[str, int]
    """Rows that are neither, by reason."""
    agreements: list[Agreement]


def evaluate(
    recipe: Recipe,
    gold: Path,
    data: Path,
    by: str | None = None,
    wait: float = 0.0,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Judge the gold pairs and compare.

    `gold` has the columns prompt, response_a, response_b, human_label (a, b or tie) and, where there are any,
    references and domain. Pairs labelled tie are judged and not compared. Verdicts are kept, so a second run pays for
    nothing. `by` names a column to report groups of besides the whole; of a list, a pair is in each value's group.
    Another evaluation of the same pairs is waited for, up to `wait` seconds, and `say` told who that is. Raises
    SourceError where there is no such file, for a missing column and for an unknown label.
    """
    path = find_gold(gold, recipe)
    read = read_gold(path, by)
    workspace = Workspace(data, f"{recipe.dataset}.gold-{digest(str(path), size=4)}", recipe.shards)
    with building(workspace, "`pairwright evaluate`", recipe.path, wait, say):
        mended(workspace.root, lambda: _judge(recipe, read, workspace))
        margins, lost = _margins(recipe, read, workspace)
    used = margins.filter(pl.col("won").is_not_null())
    names = [JURY, *(judge.name for judge in judges_of(recipe)), *BASELINES]
    groups: list[tuple[str | None, pl.DataFrame]] = [(None, used)]
    if by is not None:
        values = used.get_column("groups").explode().drop_nulls().unique().sort()
        groups += [(value, used.filter(pl.col("groups").list.contains(value))) for value in values]
    agreements = [agreement(name, part, group) for group, part in groups for name in names]
    left_out = {reason: read.left_out.get(reason, 0) + lost.get(reason, 0) for reason in [*read.left_out, *lost]}
    return Evaluation(path, read.rows, used.height, margins.height - used.height, left_out, agreements)


def _judge(recipe: Recipe, gold: Gold, workspace: Workspace) -> None:
    """Everything up to the preferences, for the gold pairs."""
    path = workspace.root.resolve() / "gold.parquet"
    with replacing(path) as temporary:
        source_rows(gold).write_parquet(temporary)
    only_judging = {"responses": [], "policies": [], "filters": [], "release": ReleaseOptions()}
    copy = recipe.model_copy(update={"prompts": as_source(path), **only_judging})
    take_in(copy, workspace)
    budget = budget_of(recipe, workspace)
    for router in routers_of(copy):
        for shard in workspace.each_shard():
            route_shard(router, workspace, shard, budget)
    for need in passes(copy):
        read_pass(need, workspace, workspace.each_shard())
    for judge in guides_first(recipe):
        for shard in workspace.each_shard():
            judge_shard(judge, workspace, shard, budget)
    prefer(copy, workspace)


def _margins(recipe: Recipe, gold: Gold, workspace: Workspace) -> tuple[pl.DataFrame, dict[str, int]]:
    """The pairs that judges could see, with `m:<judge>`, `why:<judge>` and the baselines; the others, by reason."""
    table = scan(workspace.files("preferences")).select(
        *KEY, "scores", pl.col("utility").alias(JURY), pl.col("unranked").alias(f"{JURY}!")
    )
    sides = table.collect().unnest("scores")
    names = [JURY, *(judge.name for judge in judges_of(recipe))]
    for judge in judges_of(recipe):
        parts = [response_scores(judge, workspace, shard).select(*KEY, "failure") for shard in workspace.each_shard()]
        failures = pl.concat(parts).collect().rename({"failure": f"{judge.name}!"})
        sides = sides.join(failures, on=KEY, how="left", maintain_order="left")
    rows = gold.pairs.select("number", "prompt_id", "id_a", "id_b", "response_a", "response_b", "won", "groups")
    for side in ("a", "b"):
        renamed = {one: f"{side}:{one}" for one in sides.columns if one not in KEY} | {"response_id": f"id_{side}"}
        mine = sides.rename(renamed).with_columns(pl.lit(True).alias(f"there_{side}"))
        rows = rows.join(mine, on=["prompt_id", f"id_{side}"], how="left", maintain_order="left")
    there = pl.col("there_a") & pl.col("there_b")
    lost = rows.filter(there.fill_null(False).not_())
    whys = [pl.coalesce(f"a:{name}!", f"b:{name}!", pl.lit("no score")).alias(f"why:{name}") for name in names]
    margins = [(pl.col(f"a:{name}") - pl.col(f"b:{name}")).alias(f"m:{name}") for name in names]
    return _with_baselines(rows.filter(there).with_columns(*margins, *whys)), _why_lost(lost, workspace)


def _with_baselines(rows: pl.DataFrame) -> pl.DataFrame:
    length = {side: pl.col(f"response_{side}").str.len_chars().cast(pl.Float64) for side in ("a", "b")}
    coin = rows.select(pl.col("id_a") + pl.col("id_b")).to_series()
    flips = [1.0 if int(digest("coin", key, size=1), 16) & 1 else -1.0 for key in coin]
    return rows.with_columns((length["a"] - length["b"]).alias("m:longer-wins"), pl.Series("m:random", flips))


def _why_lost(lost: pl.DataFrame, workspace: Workspace) -> dict[str, int]:
    """Reasons for which taking in turned pairs away, by how many."""
    rejects = read_table(workspace.root / "rejects.parquet")
    reasons = rejects.group_by(number=pl.col("row").cast(pl.UInt64)).agg(pl.col("reason").sort().first())
    known = lost.join(reasons, on="number", how="left")
    why = pl.col("reason").fill_null("its texts were not taken in")
    return dict(known.group_by(why=why).len().sort("len", "why", descending=[True, False]).iter_rows())


def as_json(found: Evaluation) -> str:
    """The results as JSON; figures that do not exist are null."""

    def plain(one: Agreement) -> dict[str, Any]:
        row = one._asdict() | {"by_margin": [step._asdict() for step in one.by_margin], "left_out": dict(one.left_out)}
        if one.group is None:
            del row["group"]
        return {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()}

    whole = found._asdict() | {"gold": str(found.gold)}
    del whole["agreements"]
    return json.dumps({**whole, "judges": [plain(one) for one in found.agreements]}, indent=2, ensure_ascii=False)
