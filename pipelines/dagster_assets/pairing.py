"""Preferences, pairs and rankings as Dagster assets."""

import dagster as dg
import polars as pl

from pairwright.assets.display import views
from pairwright.assets.pairing.funnel import pairs_view
from pairwright.assets.pairing.pair import pair
from pairwright.assets.pairing.prefer import prefer, preferences_view
from pairwright.assets.pairing.rank import rank
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.store import Workspace, scan, version_of
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Pairs, Preferences, Rankings


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The jury's preferences, and the pairs and rankings made of them."""
    return [_preferences(recipe), _pairs(recipe), _rankings(recipe)]


def _preferences(recipe: Recipe) -> dg.AssetsDefinition:
    again = [common.key(recipe, "drift")] if recipe.schedule else []
    checks = {"watch_ties": "At most a fifth of the prompts has several best responses."}

    @dg.asset(
        **common.arguments(recipe, "preferences", sharded=False, schema=Preferences, after=again),
        check_specs=common.check_specs(recipe, ("preferences",), checks),
    )
    @in_run_log
    def preferences(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The utility of every response: the weighted mean of the judges' z-scores."""
        workspace = Workspace.of(recipe)
        prefer(recipe, workspace)
        files = workspace.files("preferences")
        view = kept_view(
            workspace, "preferences", [version_of(path) for path in files], lambda: preferences_view(workspace)
        )
        tied, prompts, rows = (int(view.pop(name)) for name in ("tied", "prompts", "rows"))
        found = {"watch_ties": (tied <= 0.2 * prompts, f"{tied} of {prompts} prompts")}
        return common.result(
            {"dagster/row_count": rows} | {k: dg.MarkdownMetadataValue(v) for k, v in view.items()}, found
        )

    return preferences


def _pairs(recipe: Recipe) -> dg.AssetsDefinition:
    checks = {
        "sides_differ": "No pair has the same response on both sides, and chosen is strictly better.",
        "funnel_adds_up": "What a step lets through is what the next one gets.",
        "watch_unknown": "Each filter has a value for at least 95 % of the pairs that come to it.",
    }

    @dg.asset(
        **common.arguments(recipe, "pairs", sharded=False, schema=Pairs),
        check_specs=common.check_specs(recipe, ("pairs",), checks),
    )
    @in_run_log
    def pairs(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Candidate pairs with every filter's value and verdict; the release takes those kept."""
        workspace = Workspace.of(recipe)
        pair(recipe, workspace)
        shown = [version_of(path) for name in ("prompts", "preferences", "pairs") for path in workspace.files(name)]
        view = kept_view(workspace, "pairs", shown, lambda: pairs_view(recipe, workspace))
        rows, same = int(view.pop("rows")), int(view.pop("same"))
        found = {
            "sides_differ": (same == 0, f"{same} of {rows} pairs"),
            "funnel_adds_up": (view.pop("adds up") == "yes", "see the funnel"),
        }
        unknown = view.pop("unknown")
        found["watch_unknown"] = (not unknown, unknown or "nearly all have one")
        return common.result(
            {"dagster/row_count": rows} | {k: dg.MarkdownMetadataValue(v) for k, v in view.items()}, found
        )

    return pairs


def _rankings(recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(**common.arguments(recipe, "rankings", sharded=False, schema=Rankings))
    @in_run_log
    def ranking(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Every prompt's ranked responses with scores, ranks and soft targets."""
        workspace = Workspace.of(recipe)
        rank(recipe, workspace)
        rows = scan(workspace.files("rankings"))
        preview = dg.MarkdownMetadataValue(views.table(rows.head(views.PREVIEW).collect()))
        return common.result({"dagster/row_count": rows.select(pl.len()).collect().item(), "preview": preview})

    return ranking
