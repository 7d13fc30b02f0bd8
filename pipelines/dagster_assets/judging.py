"""Domains, likelihoods and verdicts as Dagster assets: one a router, one a pass of a model, one a judge."""

import dagster as dg

from pairwright.assets.judging import domains, likelihood
from pairwright.assets.judging.audit import CODE, audit_view, checks_of, models_of
from pairwright.assets.judging.domains import domains_table, domains_view, route_shard, routers_of
from pairwright.assets.judging.judge import judge_shard, verdicts_view
from pairwright.assets.judging.likelihood import likelihoods_view, passes, read_pass
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace, version_of
from pairwright.judges.base import Judge
from pairwright.judges.router import Router
from pairwright.models.local.request import PassRequest, Sorter
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.described import description
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Domains, Likelihoods

VERDICTS, COMPARISONS = "The score of each response.", "Which of two responses is better."


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """One asset a router, one a pass of a model, and one a judge."""
    return [
        *(_domains(recipe, router) for router in routers_of(recipe)),
        *(_likelihoods(recipe, need) for need in passes(recipe)),
        *(_verdicts(recipe, judge) for judge in judges_of(recipe)),
    ]


def domains_keys(recipe: Recipe, router: Sorter | None) -> list[dg.AssetKey]:
    """The asset of a router's domains, where there is a router."""
    return [common.key(recipe, "domains", domains.name(router))] if router else []


def likelihood_key(recipe: Recipe, need: PassRequest) -> dg.AssetKey:
    """The asset of a pass."""
    return common.key(recipe, "likelihoods", likelihood.name(need))


def _domains(recipe: Recipe, router: Router) -> dg.AssetsDefinition:
    table = ("domains", domains.name(router))
    checks = {"watch_failures": "At most 5 % of the prompts could not be sorted and are treated as the first domain."}

    @dg.asset(
        **common.arguments(recipe, *table, sharded=True, schema=Domains),
        description=description("The domain of each prompt.", router),
        code_version=router.fingerprint,
        check_specs=common.check_specs(recipe, table, checks),
    )
    @in_run_log
    def sorted_domains(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = Workspace.of(recipe)
        budget = budget_of(recipe, workspace)
        count = sum(route_shard(router, workspace, shard, budget) for shard in common.shards(context, workspace))
        context.log.info(f"router {router.name}: {count} prompts sorted")
        files = common.files_made(context, workspace, domains_table(router))
        made_from = [version_of(path) for path in files]
        view = kept_view(workspace, f"domains-{domains.name(router)}", made_from, lambda: domains_view(files))
        rows, failures = int(view.pop("rows")), int(view.pop("failures"))
        found = {"watch_failures": (failures <= 0.05 * rows, f"{failures} of {rows} prompts were not sorted")}
        facts = {"dagster/row_count": rows, "prompts sorted": count, "model": router.model}
        return common.result(facts | {k: dg.MarkdownMetadataValue(v) for k, v in view.items()}, found)

    return sorted_domains


def _likelihoods(recipe: Recipe, need: PassRequest) -> dg.AssetsDefinition:
    table = ("likelihoods", likelihood.name(need))
    checks = {"watch_failures": "At most 5 % of the responses could not be read."}

    @dg.asset(
        **common.arguments(recipe, *table, sharded=True, schema=Likelihoods),
        description=f"How likely `{need.model.id}` finds each response: one pass that judges and filters share.",
        code_version=need.key,
        check_specs=common.check_specs(recipe, table, checks),
    )
    @in_run_log
    def likelihoods(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = Workspace.of(recipe)
        count = read_pass(need, workspace, common.shards(context, workspace))
        context.log.info(f"model {need.model.id}: {count} responses read")
        files = common.files_made(context, workspace, need.table)
        made_from = [version_of(path) for path in files]
        view = kept_view(workspace, f"likelihoods-{likelihood.name(need)}", made_from, lambda: likelihoods_view(files))
        rows, failures = int(view.pop("rows")), int(view.pop("failures"))
        found = {"watch_failures": (failures <= 0.05 * rows, f"{failures} of {rows} responses were not read")}
        facts = {"dagster/row_count": rows, "responses read": count, "model": need.model.id, "pass": need.key}
        return common.result(facts | {k: dg.MarkdownMetadataValue(v) for k, v in view.items()}, found)

    return likelihoods


def _verdicts(recipe: Recipe, judge: Judge) -> dg.AssetsDefinition:
    table = ("verdicts", judge.name)
    checks = {"watch_failures": "At most 5 % of the responses are without a score.", **checks_of(judge)}
    own = models_of(recipe, judge)

    @dg.asset(
        **common.arguments(recipe, *table, sharded=True, schema=judge.table),
        description=description(COMPARISONS if judge.asks_about == "pair" else VERDICTS, judge),
        code_version=judge.fingerprint,
        check_specs=common.check_specs(recipe, table, checks),
    )
    @in_run_log
    def verdicts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = Workspace.of(recipe)
        budget = budget_of(recipe, workspace)
        computed = sum(judge_shard(judge, workspace, shard, budget) for shard in common.shards(context, workspace))
        context.log.info(f"judge {judge.name}: {computed} new verdicts")
        files = common.files_made(context, workspace, verdicts_table(judge))
        view = kept_view(
            workspace,
            f"verdicts-{judge.name}",
            [*(version_of(path) for path in files), fingerprint([CODE, sorted(own)])],
            lambda: verdicts_view(judge, files) | audit_view(judge, workspace, files, own),
        )
        failures = int(view.pop("failures"))
        rows = int(view.pop("rows"))
        metadata = {"dagster/row_count": rows, "new verdicts": computed, "fingerprint": judge.fingerprint}
        few = failures <= 0.05 * rows
        found = {"watch_failures": (few, f"{failures} of {rows} rows without a score")}
        for name in checks_of(judge):
            passed, _, text = view.pop(name, "yes|not computed").partition("|")
            found[name] = (passed == "yes", text)
        return common.result(metadata | {name: dg.MarkdownMetadataValue(text) for name, text in view.items()}, found)

    return verdicts
