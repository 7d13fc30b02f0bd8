"""From verdicts to preferences: each judge on one scale over the data set, then the jury's utility per response."""

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from pairwright.assets import dagster_common
from pairwright.assets.display import views
from pairwright.assets.display.progress import tell
from pairwright.assets.display.run_log import in_run_log
from pairwright.assets.judging.domains import domains_table, routers_of
from pairwright.assets.judging.verdicts import KEY, choice_of, judges_of, response_scores, verdicts_table
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.store import Shard, Workspace, derive, is_made, read_table, scan, version_of
from pairwright.judges.jury import Scale, mean_z, scale_of
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Preferences, check

CODE = 3
"""Raised when the same verdicts would give other preferences."""


def prefer(recipe: Recipe, workspace: Workspace) -> int:
    """Bring the preferences of all shards up to the verdicts; how many shards were made."""
    made = 0
    scale = scales(recipe, workspace)
    for shard in workspace.each_shard():
        made_from = _made_from(recipe, workspace, shard, scale)
        path = workspace.file("preferences", shard)
        made += derive(path, made_from, _shard, recipe, workspace, shard, scale)
        tell("preferences", shard.index + 1, shard.count)
    return made


def preferred(recipe: Recipe, workspace: Workspace) -> bool:
    """Whether the preferences are there and `prefer` has nothing to do."""
    scale = scales(recipe, workspace)
    files = zip(workspace.files("preferences"), workspace.each_shard(), strict=True)
    return all(is_made(path, _made_from(recipe, workspace, shard, scale)) for path, shard in files)


def _made_from(recipe: Recipe, workspace: Workspace, shard: Shard, scale: dict[str, Scale]) -> dict[str, Any]:
    inputs = [*_asked_about(recipe, workspace, shard), *_verdict_files(recipe, workspace, shard)]
    return {
        "code": CODE,
        "inputs": [version_of(path) for path in inputs],
        "scales": list(scale.items()),
        "jury": {**recipe.jury.model_dump(mode="json"), "weights": recipe.weights},
        "choices": [choice_of(judge) for judge in judges_of(recipe)],
    }


def scales(recipe: Recipe, workspace: Workspace) -> dict[str, Scale]:
    """Each judge's scale over the data set, from its narrow column of scores; kept until a verdict changes."""
    made_from: dict[str, Any] = {"code": CODE}
    for judge in judges_of(recipe):
        asked = [path for shard in workspace.each_shard() for path in _asked_about(recipe, workspace, shard)]
        inputs = [*asked, *workspace.files(verdicts_table(judge))]
        made_from[judge.name] = [judge.fingerprint, choice_of(judge), *(version_of(path) for path in inputs)]
    path = workspace.root / "scales.parquet"
    derive(path, made_from, _scales, recipe, workspace)
    rows = read_table(path).select("judge", "mean", "sd").iter_rows()
    kept = {judge: Scale(mean, sd) for judge, mean, sd in rows}
    return {judge.name: kept[judge.name] for judge in judges_of(recipe)}  # in the order of the recipe, not of the file


def _scales(recipe: Recipe, workspace: Workspace) -> pl.DataFrame:
    rows = []
    for judge in judges_of(recipe):
        shards = [
            response_scores(judge, workspace, shard).select("score").collect() for shard in workspace.each_shard()
        ]
        scale = scale_of(pl.concat(shards).get_column("score").drop_nulls().to_numpy())
        rows.append({"judge": judge.name, "mean": scale.mean, "sd": scale.sd})
    return pl.DataFrame(rows, schema={"judge": pl.String, "mean": pl.Float64, "sd": pl.Float64})


def _asked_about(recipe: Recipe, workspace: Workspace, shard: Shard) -> list[Path]:
    """The tables that say which verdicts count: those on other references are kept, but are not of this data set."""
    tables = ["responses", *(["prompts"] if any(judge.reads for judge in judges_of(recipe)) else [])]
    tables += [domains_table(router) for router in routers_of(recipe)]
    return [workspace.file(name, shard) for name in tables]


def _verdict_files(recipe: Recipe, workspace: Workspace, shard: Shard) -> list[Path]:
    return [workspace.file(verdicts_table(judge), shard) for judge in judges_of(recipe)]


def _shard(recipe: Recipe, workspace: Workspace, shard: Shard, scale: dict[str, Scale]) -> pl.DataFrame:
    scores = read_table(workspace.file("responses", shard), columns=KEY)
    for judge in judges_of(recipe):
        one = response_scores(judge, workspace, shard).collect()
        one = one.rename({"score": judge.name, "failure": f"{judge.name}!"})
        scores = scores.join(one, on=KEY, how="left", maintain_order="left")
    frame = mean_z(scores, scale, recipe.weights)
    return check(frame, Preferences, extra=["scores", "z"])


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The jury's preferences."""
    checks = {"watch_ties": "At most a fifth of the prompts has several best responses."}

    @dg.asset(
        **dagster_common.common(recipe, "preferences", sharded=False),
        deps=[
            *(dagster_common.key(recipe, "verdicts", judge.name) for judge in recipe.judges),
            *([dagster_common.key(recipe, "drift")] if recipe.schedule else []),
        ],
        check_specs=dagster_common.check_specs(recipe, ("preferences",), checks),
    )
    @in_run_log
    def preferences(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The utility of every response: the weighted mean of the judges' z-scores."""
        workspace = Workspace.of(recipe)
        prefer(recipe, workspace)
        files = workspace.files("preferences")
        view = kept_view(workspace, "preferences", [version_of(path) for path in files], lambda: _view(workspace))
        tied, prompts, rows = (int(view.pop(name)) for name in ("tied", "prompts", "rows"))
        found = {"watch_ties": (tied <= 0.2 * prompts, f"{tied} of {prompts} prompts")}
        return dagster_common.result(
            {"dagster/row_count": rows} | {k: dg.MarkdownMetadataValue(v) for k, v in view.items()}, found
        )

    return [preferences]


def _view(workspace: Workspace) -> dict[str, str]:
    """Counts, the spread of utilities, and utility against length for a sample."""
    rows = scan(workspace.files("preferences"))
    narrow = rows.select("prompt_id", "response_id", "utility", "rank").collect()
    best = narrow.filter(pl.col("rank") == 1).group_by("prompt_id").len()
    sample = narrow.drop_nulls("utility").head(2000)
    texts = scan(workspace.files("responses")).filter(pl.col("prompt_id") <= sample.get_column("prompt_id").max())
    lengths = texts.select("response_id", length=pl.col("text").str.len_chars())  # of the first row groups alone
    joined = sample.lazy().join(lengths, on="response_id").sort("response_id").collect()
    view = {
        "rows": str(narrow.height),
        "prompts": str(best.height),
        "tied": str(best.filter(pl.col("len") > 1).height),
        "preview": views.table(rows.head(views.PREVIEW).collect().select(pl.exclude("z", "scores"))),
    }
    if joined.height:
        view["utilities"] = views.histogram(narrow.get_column("utility").drop_nulls(), "utility")
        view["length against utility"] = views.scatter(
            joined.get_column("length").to_list(),
            joined.get_column("utility").to_list(),
            ("characters", "utility"),
        )
    return view
