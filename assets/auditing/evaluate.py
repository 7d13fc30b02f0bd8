"""How well judges and jury agree with gold labels, always beside what longer-wins and a coin would reach."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pairwright.assets.auditing.agreement import BASELINES, Agreement, agreements, between_annotators
from pairwright.assets.auditing.disagreements import most_different
from pairwright.assets.auditing.filtered_gold import FilterStep, after_filters
from pairwright.assets.auditing.gold import ANY, Gold, find_gold, read_gold
from pairwright.assets.auditing.gold_columns import Choice
from pairwright.assets.auditing.gold_source import write_source
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.domains import route_shard, routers_of
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.judging.likelihood import passes, read_pass
from pairwright.assets.judging.verdicts import KEY, guides_first, judges_of, response_scores
from pairwright.assets.pairing.prefer import prefer
from pairwright.assets.storage.build_lock import building
from pairwright.assets.storage.repair import mended
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace, read_table, scan
from pairwright.judges.base import Judge
from pairwright.judges.given import Given
from pairwright.judges.juries.base import Jury
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import digest
from pairwright.schemas.options import ReleaseOptions
from pairwright.schemas.recipe import Recipe

JURY = "jury"


class Annotator(NamedTuple):
    """One annotator's labels, and how the judges agree with these."""

    annotator: str
    labels: int
    with_others: Agreement | None
    """The other annotators' agreement with them."""
    agreements: list[Agreement]


class Evaluation(NamedTuple):
    """Agreement of every judge with gold, and what became of gold's rows."""

    gold: Path
    shape: str
    """What gold's rows are."""
    rows: int
    pairs: int
    """What they come to: `used`, `tied`, and those that the judges could not see."""
    used: int
    """Pairs that the judges are held against."""
    tied: int
    """Pairs that most labels call a tie, or that have none that most give: no order can agree with them."""
    left_out: dict[str, int]
    """Rows that come to no pair, and pairs that the judges could not see, by reason."""
    agreements: list[Agreement]
    between: Agreement | None
    """How often annotators agree with each other, where pairs have several."""
    annotators: list[Annotator]
    filters: list[FilterStep]
    differences: pl.DataFrame
    """The pairs on which judges and gold differ most."""


def evaluate(
    recipe: Recipe,
    gold: Path,
    data: Path,
    choice: Choice = ANY,
    wait: float = 0.0,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Judge the gold pairs and compare.

    `gold` has a shape that is recognised, or is told by `choice` (docs/evaluate.md). Pairs labelled tie are judged and
    not compared. Verdicts are kept, so a second run pays for nothing. `choice.by` names a column to report groups of
    besides the whole; of a list, a pair is in each value's group. Another evaluation of the same pairs is waited for,
    up to `wait` seconds, and `say` told who that is. Raises SourceError where there is no such file, for a missing
    column, and where no row can be used.
    """
    recipe = _asked_judges(recipe)
    path = find_gold(gold, recipe)
    read = read_gold(path, choice)
    workspace = Workspace(data, f"{recipe.dataset}.gold-{digest(str(path), size=4)}", recipe.shards)
    judges = [judge.name for judge in judges_of(recipe)]
    with building(workspace, "`pairwright evaluate`", recipe.path, wait, say):
        mended(workspace.root, lambda: _judge(recipe, read, workspace))
        margins, lost = _margins(recipe, read, workspace)
        used = margins.filter(pl.col("won").is_not_null())
        filters = after_filters(recipe, workspace, used, JURY, judges)
    names = [JURY, *judges, *BASELINES]
    groups: list[tuple[str | None, pl.DataFrame]] = [(None, used)]
    if choice.by is not None:
        values = used.get_column("groups").explode().drop_nulls().unique().sort()
        groups += [(value, used.filter(pl.col("groups").list.contains(value))) for value in values]
    left_out = {reason: read.left_out.get(reason, 0) + lost.get(reason, 0) for reason in [*read.left_out, *lost]}
    return Evaluation(
        path,
        read.shape,
        read.rows,
        read.pairs.height,
        used.height,
        margins.height - used.height,
        left_out,
        [one for group, part in groups for one in agreements(names, judges, part, group)],
        between_annotators(margins),
        [_annotator(one, margins, [JURY, *judges], judges) for one in read.annotators],
        filters,
        most_different(used, read.pairs, [JURY, *judges]),
    )


def _annotator(annotator: str, margins: pl.DataFrame, names: list[str], judges: list[str]) -> Annotator:
    """What one annotator says, in place of what most say."""
    own = pl.col("votes").list.eval(
        pl.when(pl.element().struct.field("annotator") == annotator).then(pl.element().struct.field("won"))
    )
    mine = margins.with_columns(won=own.list.drop_nulls().list.first()).drop_nulls("won")
    decided = mine.filter(pl.col("won") != 0.5)
    return Annotator(
        annotator, mine.height, between_annotators(mine, only=annotator), agreements(names, judges, decided)
    )


def _asked_judges(recipe: Recipe) -> Recipe:
    """The recipe without the judges that read what its sources say, which is nothing of gold.

    Raises RecipeError where there are no others.
    """
    judges = [_unguided(one) for one in judges_of(recipe) if not isinstance(one, Given)]
    if len(judges) == len(recipe.judges):
        return recipe
    if not judges:
        raise RecipeError(f"{recipe.path}: its judges read what the sources say; name others to hold against gold")
    names = {one.name for one in judges}
    weights = {name: weight for name, weight in recipe.jury.weights.items() if name in names}
    jury = recipe.jury.model_copy(update={"weights": weights}) if isinstance(recipe.jury, Jury) else recipe.jury
    filters = [one for one in recipe.filters if getattr(one, "by", None) in (None, *names)]
    return recipe.model_copy(update={"judges": judges, "jury": jury, "filters": filters})


def _unguided(judge: Judge) -> Judge:
    """The judge itself; one that goes by what the sources say, with the usual choice of pairs."""
    if not isinstance(judge.guide, Given):
        return judge
    free = judge.model_copy(update={"pairs": "sampled", "pairs_by": None})
    free._guide = None
    return free


def _judge(recipe: Recipe, gold: Gold, workspace: Workspace) -> None:
    """Everything up to the preferences, for the gold pairs."""
    source = write_source(gold, workspace.root.resolve() / "gold.jsonl")
    only_judging = {"responses": [], "policies": [], "release": ReleaseOptions()}
    copy = recipe.model_copy(update={"prompts": source, **only_judging})
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
    rows = gold.pairs.select(
        "number", "prompt_id", "id_a", "id_b", "response_a", "response_b", "won", "votes", "groups"
    )
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
    whole = found._asdict() | {"gold": str(found.gold), "judges": found.agreements}
    del whole["agreements"], whole["differences"]
    return json.dumps(_plain(whole), indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """JSON's own types; a group that is none is left out."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        fields = value._asdict()
        return _plain({name: one for name, one in fields.items() if not (name == "group" and one is None)})
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and np.isnan(value) else value
