"""Domains: the prompts that a router has sorted, and the prompts table as judges that go by domain see it."""

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.stages.basis import Basis, Input
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.reply_ledger import open_replies
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.judges.base import Judge
from pairwright.judges.router import Router
from pairwright.models.estimate import Estimate
from pairwright.models.local.request import Sorter
from pairwright.models.serving.reply_store import Budget
from pairwright.schemas.paid_tables import Domains
from pairwright.schemas.recipe import Recipe

KEY = ["prompt_id"]


def routers_of(recipe: Recipe) -> list[Router]:
    """The routers of a recipe's judges, each once."""
    routers = (router_of(judge) for judge in recipe.judges if isinstance(judge, Judge))
    return list({router.fingerprint: router for router in routers if router}.values())


def router_of(judge: Judge) -> Router | None:
    """What sorts prompts into domains for a judge, where their own column does not: its option that is a router."""
    return next((value for _, value in judge if isinstance(value, Router)), None)


def domains_table(router: Sorter) -> str:
    """The folder of what a router has sorted: named by what the router is."""
    return f"domains/{router.fingerprint}"


def prompts_of(workspace: Workspace, shard: Shard, router: Sorter | None) -> pl.LazyFrame:
    """The prompts of a shard; with a router, `domain` is the one that the source names, else the router's.

    A source's domain that is none of the router's does not count. Where the router failed, `domain` is null.
    """
    prompts = scan([workspace.file("prompts", shard)])
    if router is None:
        return prompts
    named = pl.col("domain").is_in(list(router.domains))
    prompts = prompts.with_columns(domain=pl.when(named).then("domain"))
    path = workspace.file(domains_table(router), shard)
    if not path.exists():  # a plan asks before anything was sorted
        return prompts
    found = scan([path]).select("prompt_id", routed="domain")
    joined = prompts.join(found, on="prompt_id", how="left", maintain_order="left")
    return joined.with_columns(domain=pl.coalesce("domain", "routed")).drop("routed")


def domains_basis(router: Router) -> Basis:
    """What a router's sorting follows from."""
    return Basis(
        name=f"domains/{name(router)}", table=domains_table(router), inputs=(Input("prompts"),), code=router.fingerprint
    )


def route_shard(router: Router, workspace: Workspace, shard: Shard, budget: Budget | None = None) -> int:
    """Sort the prompts of a shard that have no domain yet; how many there were."""
    stage = domains_basis(router)
    work, inputs = stage.stamp(workspace, shard), stage.reading(workspace, shard)
    with Ledger(workspace, domains_table(router), shard, Domains, KEY) as ledger:
        if ledger.is_done(work):
            return 0
        missing = ledger.missing(_unsorted(router, inputs, shard))
        done, cost = 0, 0.0
        if missing.height:
            with open_replies(router, workspace, shard, missing, budget, answers_in=domains_table(router)) as one:
                for frame in router.route(_prompts(missing, inputs, shard), one):
                    ledger.append(frame)
                    done, cost = done + frame.height, cost + float(frame.get_column("cost_usd").sum())
                    tell(f"domains/{name(router)} {shard.index + 1}/{shard.count}", done, missing.height, cost)
        ledger.merge(work)
    return missing.height


def estimate(router: Router, workspace: Workspace) -> Estimate:
    """What sorting the prompts that have no domain yet would take; nothing is spent."""
    total = Estimate()
    for shard in workspace.each_shard():
        with Ledger(workspace, domains_table(router), shard, Domains, KEY) as ledger:
            missing = ledger.missing(_unsorted(router, workspace, shard))
        if missing.height:
            with open_replies(router, workspace, shard, missing) as one:
                total += router.estimate(_prompts(missing, workspace, shard), one)
    return total


def _unsorted(router: Router, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """KEY of the prompts that the source puts into none of the router's domains."""
    prompts = scan([workspace.file("prompts", shard)])
    named = pl.col("domain").is_in(list(router.domains)).fill_null(False)
    return prompts.filter(~named).select(KEY).collect()


def _prompts(missing: pl.DataFrame, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    prompts = scan([workspace.file("prompts", shard)]).select("prompt_id", "messages")
    return prompts.join(missing.lazy(), on=KEY, how="semi", maintain_order="left").collect()


def name(router: Sorter) -> str:
    """What people see: the router's name and the beginning of its fingerprint."""
    return f"{router.name}-{router.fingerprint[:8]}"
