"""What a judge is asked about, where its verdicts lie, and the one score that they come to for each response."""

from typing import Any

import polars as pl

from pairwright.assets.judging.domains import domains_table, prompts_of, router_of
from pairwright.assets.judging.unreadable import unread_apart
from pairwright.assets.stages.basis import Basis, Input
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.judges.base import EVIDENCE, Judge
from pairwright.judges.given import Given
from pairwright.judges.per_response import per_response
from pairwright.judges.planner import GUIDE
from pairwright.schemas.ids import digest, drawn
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.row_order import same_rows

KEY = ["prompt_id", "response_id"]


def judges_of(recipe: Recipe) -> list[Judge]:
    """The recipe's judges, in its order."""
    return [judge for judge in recipe.judges if isinstance(judge, Judge)]


def guides_first(recipe: Recipe) -> list[Judge]:
    """The recipe's judges, each after the one whose scores say what it is asked."""
    return sorted(judges_of(recipe), key=lambda judge: len(_guides(judge)))


def _guides(judge: Judge) -> list[Judge]:
    return [] if judge.guide is None else [judge.guide, *_guides(judge.guide)]


def verdicts_table(judge: Judge) -> str:
    """The folder of a judge's verdicts: named by what the judge is, never by what a recipe calls it."""
    kind = type(judge).model_fields["kind"].default
    return f"verdicts/{kind}-{judge.fingerprint}"


def value_of(judge: Judge) -> str:
    """The column with the verdict."""
    return "p_a" if judge.asks_about == "pair" else "score"


def questions(judge: Judge, responses: pl.DataFrame) -> pl.DataFrame:
    """The keys of all verdicts that responses call for; of pairs, the ones that the judge's plan chooses.

    `responses` has prompt_id, response_id and, where the judge goes by another whose scores are known, these as GUIDE.
    """
    return judge.pair_plan().chosen(responses) if judge.asks_about == "pair" else responses.select(judge.keys)


def wanted(judge: Judge, workspace: Workspace, shard: Shard) -> pl.LazyFrame:
    """What a judge is asked about in a shard: its keys and the evidence for each verdict, sorted.

    Where its guide has no verdicts yet, as in a plan, its scores count as unknown. Of what the sources say, there is
    nothing to ask: it is what they say.
    """
    if isinstance(judge, Given):
        return scan([workspace.file(verdicts_table(judge), shard)]).select(*judge.keys, "evidence")
    texts = scan([workspace.file("responses", shard)])
    responses = texts.select(KEY).collect()
    if judge.guide is not None and workspace.file(verdicts_table(judge.guide), shard).exists():
        scores = response_scores(judge.guide, workspace, shard).select(*KEY, pl.col("score").alias(GUIDE))
        responses = responses.join(scores.collect(), on=KEY, how="left", maintain_order="left")
    keys = questions(judge, responses)
    if not judge.reads and judge.asks_about != "prompt":
        asked = keys.with_columns(evidence=pl.lit(""))
        return unread_apart(judge, asked, scan([workspace.file("prompts", shard)]), texts).lazy()
    prompts = prompts_of(workspace, shard, router_of(judge))
    parts = [pl.col(EVIDENCE[name]).fill_null("") for name in judge.reads] or [pl.lit("")]
    evidence = prompts.select("prompt_id", evidence=pl.concat_str(parts, separator=" ")).collect()
    if judge.asks_about == "prompt":  # a verdict leans on all responses that were seen beside its own
        ids = responses.group_by("prompt_id").agg(pl.col("response_id").sort())
        lists = pl.Series("_list", [digest(*one) for one in ids.get_column("response_id")], pl.String)
        evidence = evidence.join(ids.select("prompt_id", lists), on="prompt_id", how="left")
        evidence = evidence.select("prompt_id", evidence=pl.concat_str("evidence", pl.col("_list").fill_null("")))
    asked = keys.join(evidence, on="prompt_id", how="left", maintain_order="left")
    return unread_apart(judge, asked, prompts, texts).lazy()


def asked_twice(judge: Judge) -> pl.Expr:
    """Whether a prompt is drawn for second opinions: by the judge's seed and the prompt's id alone."""
    return drawn(pl.col("prompt_id"), judge.audited[0], "second opinion", str(judge.audited[1]))


def response_scores(judge: Judge, workspace: Workspace, shard: Shard) -> pl.LazyFrame:
    """A judge's one score for each response of a shard: prompt_id, response_id, score, failure."""
    return per_response(judge, present(judge, workspace, shard), scan([workspace.file("responses", shard)]).select(KEY))


def present(judge: Judge, workspace: Workspace, shard: Shard) -> pl.LazyFrame:
    """A judge's verdicts on what it is asked about in a shard now; those on other references or texts are left out."""
    verdicts, on = scan([workspace.file(verdicts_table(judge), shard)]), [*judge.keys, "evidence"]
    asked = wanted(judge, workspace, shard).select(on).collect()
    if same_rows(verdicts.select(on).collect(), asked, on):
        return verdicts
    return verdicts.join(asked.lazy(), on=on, how="semi")


def asked_from(judge: Judge) -> list[str]:
    """The tables that say what a judge is asked about."""
    tables = ["prompts", "responses", *(domains_table(router) for router in [router_of(judge)] if router)]
    return list(dict.fromkeys([*tables, *(scored_from(judge.guide) if judge.guide else [])]))


def scored_from(judge: Judge) -> list[str]:
    """The tables that `response_scores` reads: verdicts on other references are kept, but are not of this data set."""
    return list(dict.fromkeys([verdicts_table(judge), *asked_from(judge)]))


def verdicts_basis(judge: Judge) -> Basis:
    """What a judge's verdicts follow from."""
    routers = [need.context.router for need in judge.needs() if need.context.router]
    passes = [need.table for need in judge.needs()]
    tables = dict.fromkeys([*asked_from(judge), *passes, *map(domains_table, routers)])
    return Basis(
        name=f"verdicts/{judge.name}",
        table=verdicts_table(judge),
        inputs=tuple(Input(one, may_be_absent=one not in {"prompts", "responses"}) for one in tables),
        options=[choice_of(judge), list(judge.audited) if judge.audited[0] else []],
        code=judge.fingerprint,
    )


def choice_of(judge: Judge) -> list[Any]:
    """What says which verdicts a judge is asked for, beside tables and fingerprint; empty where it is as usual."""
    guides = [[one.fingerprint, one.pair_plan().told()] for one in _guides(judge)]
    beyond_text = [one for one in judge.modalities if one != "text"]
    return [part for part in (judge.pair_plan().told(), guides, sorted(beyond_text)) if part]
