"""How well judges and jury agree with gold labels, always beside what longer-wins and a coin would reach."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pairwright.assets.build_lock import building
from pairwright.assets.columns import Columns, settle
from pairwright.assets.conform import conform
from pairwright.assets.judge import judge_shard
from pairwright.assets.likelihood import passes, read_pass
from pairwright.assets.prefer import prefer
from pairwright.assets.readers import Records, open_source
from pairwright.assets.replies import budget_of
from pairwright.assets.route import route_shard, routers_of
from pairwright.assets.source import take_in
from pairwright.assets.store import Workspace, scan
from pairwright.assets.verdicts import guides_first, judges_of
from pairwright.schemas.errors import SourceError
from pairwright.schemas.ids import digest, prompt_id, response_id
from pairwright.schemas.recipe import ColumnMap, Recipe, ReleaseOptions, Source

LABELS = ("a", "b", "tie")
RESAMPLES = 2_000
QUARTILES = (1.0, 0.75, 0.5, 0.25)
GOLD_COLUMNS = {"prompt", "response_a", "response_b", "human_label"}


class MarginStep(NamedTuple):
    """Agreement among the pairs that a judge is surest of."""

    top: float
    agreement: float
    n: int


class Agreement(NamedTuple):
    """Share of gold pairs that a judge orders as the label does, a tie of its scores counting one half."""

    judge: str
    n: int
    prompts: int
    agreement: float
    low: float
    high: float
    ties: int
    by_margin: list[MarginStep]
    group: str | None = None


def evaluate(
    recipe: Recipe,
    gold: Path,
    data: Path,
    by: str | None = None,
    wait: float = 0.0,
    say: Callable[[str], None] = lambda line: None,
) -> list[Agreement]:
    """Judge the gold pairs and compare.

    `gold` has the columns prompt, response_a, response_b, human_label (a, b or tie) and, where there are any,
    references and domain. Pairs labelled tie are left out. Verdicts are kept, so a second run pays for nothing. `by`
    names a column to report groups of besides the whole. Another evaluation of the same pairs is waited for, up to
    `wait` seconds, and `say` told who that is. Raises SourceError for a missing column or an unknown label.
    """
    rows = _read(gold, recipe)
    if by is not None and by not in rows.columns:
        raise SourceError(f"{gold}: no column {by!r} to group by; it has {', '.join(rows.columns)}")
    only_judging = {"responses": [], "policies": [], "filters": [], "release": ReleaseOptions()}
    copy = recipe.model_copy(update={"prompts": _as_source(gold, rows), **only_judging})
    workspace = Workspace(data, f"{recipe.dataset}.gold-{digest(str(gold.resolve()), size=4)}", recipe.shards)
    with building(workspace, "`pairwright evaluate`", recipe.path, wait, say):
        _judge(recipe, copy, workspace)
        margins = _margins(rows, scan(workspace.files("preferences")))
    names = ["jury", *(judge.name for judge in judges_of(recipe)), "longer-wins", "random"]
    groups: list[tuple[str | None, pl.DataFrame]] = [(None, margins)]
    if by is not None:
        groups += [(str(key[0]), part) for key, part in sorted(margins.partition_by(by, as_dict=True).items())]
    return [agreement(name, part, group) for group, part in groups for name in names]


def _judge(recipe: Recipe, copy: Recipe, workspace: Workspace) -> None:
    """All stages up to the preferences, over a `copy` of the recipe whose source is the gold pairs."""
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


def agreement(name: str, margins: pl.DataFrame, group: str | None = None) -> Agreement:
    """Agreement of one judge: `margins` has prompt_id, won (1.0 where the label says a) and `m:<name>`, the judge's
    score of a less that of b.

    The interval is the 2.5 % and 97.5 % quantile of a bootstrap over prompts, since pairs of a prompt are not
    independent.
    """
    margin = pl.col(f"m:{name}")
    rows = margins.filter(margin.is_not_null()).select(
        "prompt_id", margin=margin, right=((margin.sign() * (2 * pl.col("won") - 1)) + 1) / 2
    )
    if rows.is_empty():
        return Agreement(name, 0, 0, float("nan"), float("nan"), float("nan"), 0, [], group)
    per_prompt = rows.group_by("prompt_id").agg(right=pl.col("right").sum(), n=pl.len()).sort("prompt_id")
    low, high = _interval(per_prompt.get_column("right").to_numpy(), per_prompt.get_column("n").to_numpy())
    surest = rows.with_columns(pl.col("margin").abs()).sort("margin", "prompt_id", descending=[True, False])
    steps = []
    for top in QUARTILES:
        part = surest.head(max(1, round(top * rows.height)))
        steps.append(MarginStep(top, _mean(part), part.height))
    ties = rows.filter(pl.col("margin") == 0).height
    return Agreement(name, rows.height, per_prompt.height, _mean(rows), low, high, ties, steps, group)


def as_json(results: list[Agreement]) -> str:
    """The results as a JSON list; figures that do not exist are null."""

    def plain(one: Agreement) -> dict[str, Any]:
        row = one._asdict() | {"by_margin": [step._asdict() for step in one.by_margin]}
        if one.group is None:
            del row["group"]
        return {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()}

    return json.dumps([plain(one) for one in results], indent=2)


def _mean(rows: pl.DataFrame) -> float:
    return float(rows.get_column("right").sum() / rows.height)


def _interval(right: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, len(right), len(right))
        shares.append(right[drawn].sum() / counts[drawn].sum())
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def _as_source(gold: Path, rows: pl.DataFrame) -> Source:
    there = {name: name for name in ("references", "domain") if name in rows.columns}
    columns = ColumnMap(prompt="prompt", responses=["response_a", "response_b"], **there)
    return Source(source=str(gold.resolve()), columns=columns)


def _read(gold: Path, recipe: Recipe) -> pl.DataFrame:
    """The labelled gold rows with the ids of prompt and responses."""
    opened = open_source(Source(source=str(gold)), recipe.path.parent if not gold.exists() else Path())
    frames = [_ids(records) for records in opened.stream()]
    rows = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()
    if rows.is_empty():
        raise SourceError(f"{gold} holds no rows with a prompt, two responses and a label")
    labels = pl.col("human_label").cast(pl.String).str.to_lowercase()
    wrong = rows.filter(~labels.is_in(LABELS))
    if wrong.height:
        raise SourceError(
            f"{gold}: human_label {wrong.item(0, 'human_label')!r} is unknown; allowed: {', '.join(LABELS)}"
        )
    return rows.filter(labels != "tie").with_columns(won=(labels == "a").cast(pl.Float64))


def _ids(records: Records) -> pl.DataFrame:
    frame = records.frame
    if frame is None:
        objects = [record for _, record, reason in records.objects if reason is None and isinstance(record, dict)]
        frame = pl.DataFrame(objects, infer_schema_length=None, strict=False)
    missing = sorted(GOLD_COLUMNS - set(frame.columns))
    if missing:
        raise SourceError(f"{records.part}: no column {missing[0]!r}; it has {', '.join(frame.columns)}")
    frame = frame.filter(pl.all_horizontal(pl.col(*GOLD_COLUMNS).is_not_null()))
    columns: Columns = settle(
        ColumnMap(prompt="prompt", responses=["response_a", "response_b"]), frame.columns, records.part
    )
    numbered = frame.with_columns(pl.int_range(pl.len(), dtype=pl.UInt64).alias("_row"))
    raw = conform(Records(records.part, numbered, []), columns).filter(pl.col("bad").is_null())
    ids = pl.DataFrame(
        {
            "_row": raw.get_column("row"),
            "prompt_id": [prompt_id(one) for one in raw.get_column("messages").to_list()],
        },
        schema={"_row": pl.UInt64, "prompt_id": pl.String},
    )
    rows = numbered.join(ids, on="_row", maintain_order="left")
    for side in ("a", "b"):
        texts = rows.select("prompt_id", f"response_{side}").iter_rows()
        rows = rows.with_columns(pl.Series(f"{side}_id", [response_id(*key) for key in texts], pl.String))
    return rows.drop("_row")


def _margins(rows: pl.DataFrame, preferences: pl.LazyFrame) -> pl.DataFrame:
    """The gold rows with each judge's, the jury's and the baselines' difference between a and b."""
    table = preferences.select("prompt_id", "response_id", "scores", jury="utility").collect().unnest("scores")
    judges = [name for name in table.columns if name not in ("prompt_id", "response_id")]
    for side in ("a", "b"):
        renamed = table.rename({"response_id": f"{side}_id", **{name: f"{side}:{name}" for name in judges}})
        rows = rows.join(renamed, on=["prompt_id", f"{side}_id"], how="left", maintain_order="left")
    length = {side: pl.col(f"response_{side}").str.len_chars().cast(pl.Float64) for side in ("a", "b")}
    coin = pl.col("a_id") + pl.col("b_id")
    flips = [1.0 if int(digest("coin", key, size=1), 16) & 1 else -1.0 for key in rows.select(coin).to_series()]
    return rows.with_columns(
        *((pl.col(f"a:{name}") - pl.col(f"b:{name}")).alias(f"m:{name}") for name in judges),
        (length["a"] - length["b"]).alias("m:longer-wins"),
        pl.Series("m:random", flips, pl.Float64),
    )
