"""Sampling: policies write the samples that are missing, and responses are what was given and what was sampled."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from pairwright.assets import face, views
from pairwright.assets.ledger import Ledger
from pairwright.assets.policies.base import Policy
from pairwright.assets.progress import tell
from pairwright.assets.replies import budget_of, desk
from pairwright.assets.source import GIVEN, counted
from pairwright.assets.store import Shard, Workspace, derive, scan, version_of
from pairwright.judges.base import Estimate
from pairwright.judges.llm.abilities import lacking
from pairwright.judges.llm.ask import ask
from pairwright.judges.llm.call import Answer, Call
from pairwright.judges.llm.desk import Budget, Desk
from pairwright.judges.llm.endpoint import CHARACTERS_PER_TOKEN
from pairwright.schemas.ids import digest, fingerprint, response_id
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Responses, Samples, check, types

CODE = 2
"""Raised when the same samples would give other responses."""
KEY = ["prompt_id", "number"]
TYPICAL_RESPONSE = 300
"""Tokens that a plan takes an unwritten response for, unless max_tokens is less."""


def policies_of(recipe: Recipe) -> list[Policy]:
    """The recipe's policies, in its order."""
    return [policy for policy in recipe.policies if isinstance(policy, Policy)]


def samples_table(policy: Policy) -> str:
    """The folder of a policy's samples: named by what it is, never by what a recipe calls it."""
    return f"samples/{type(policy).model_fields['kind'].default}-{policy.fingerprint}"


def writers(recipe: Recipe, prompt_id: str) -> set[str]:
    """Fingerprints of the policies that write for a prompt: all, or `pool.size` of them, drawn by seed and content.

    Every set of that size is as likely as any other, by rendezvous hashing: a policy's place is a hash of it with the
    prompt. So neither growth nor shards move the draw of a prompt that was there before, a further policy takes over
    some prompts and moves no others, and the counts are balanced in expectation, not exactly. Exactly they cannot be:
    of three prompts, two get the same one of two policies whatever the rule, and a data set of these two is out of
    balance. Ids being hashes, a policy's count over N prompts has the standard deviation of a binomial with share
    p = size / policies, sqrt(N p (1 - p)), which no rule by content alone can undercut. For 2 of 4 that is 1.6 % of
    the prompts at N = 1,000, 0.5 % at 10,000 and 0.16 % at 100,000.
    """
    prints = sorted({policy.fingerprint for policy in policies_of(recipe)})
    pool = recipe.pool
    if pool is None:
        return set(prints)
    return set(sorted(prints, key=lambda one: digest("pool", str(pool.seed), prompt_id, one))[: pool.size])


def sample_shard(
    recipe: Recipe, policy: Policy, workspace: Workspace, shard: Shard, budget: Budget | None = None
) -> int:
    """Draw the samples that a shard lacks; how many there were."""
    prompts = workspace.file("prompts", shard)
    pool = recipe.pool.model_dump(mode="json") if recipe.pool else None
    work = fingerprint([policy.fingerprint, policy.samples, pool, version_of(prompts)])
    with Ledger(workspace, samples_table(policy), shard, Samples, KEY) as ledger:
        if ledger.is_done(work):
            return 0
        missing = ledger.missing(_wanted(recipe, policy, workspace, shard))
        if missing.height:
            with desk(policy, workspace, shard, missing, budget, answers_in=samples_table(policy)) as one:
                _draw(policy, missing, pl.read_parquet(prompts, glob=False), one, ledger)
        ledger.merge(work)
    return missing.height


def missing_samples(recipe: Recipe, policy: Policy, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """KEY of the samples that `sample_shard` would draw."""
    with Ledger(workspace, samples_table(policy), shard, Samples, KEY) as ledger:
        return ledger.missing(_wanted(recipe, policy, workspace, shard))


def estimate(recipe: Recipe, policy: Policy, workspace: Workspace) -> Estimate:
    """What the samples that are missing would take, without spending anything."""
    total = Estimate()
    for shard in workspace.each_shard():
        missing = missing_samples(recipe, policy, workspace, shard)
        prompts = pl.read_parquet(workspace.file("prompts", shard), columns=["prompt_id", "messages"], glob=False)
        total = total + policy.estimate((messages, numbers) for _, messages, numbers in _grouped(missing, prompts))
    return total


def _wanted(recipe: Recipe, policy: Policy, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    ids = pl.read_parquet(workspace.file("prompts", shard), columns=["prompt_id"], glob=False).get_column("prompt_id")
    mine = [one for one in ids if policy.fingerprint in writers(recipe, one)]
    numbers = pl.int_ranges(0, policy.samples, dtype=pl.UInt32)
    frame = pl.DataFrame({"prompt_id": mine}, schema={"prompt_id": pl.String}).with_columns(number=numbers)
    return frame.explode("number", empty_as_null=False)


def _grouped(missing: pl.DataFrame, prompts: pl.DataFrame) -> Iterator[tuple[str, list[dict[str, str]], list[int]]]:
    numbers = missing.group_by("prompt_id", maintain_order=True).agg("number")
    joined = numbers.join(prompts.select("prompt_id", "messages"), on="prompt_id", how="left", maintain_order="left")
    return joined.select("prompt_id", "messages", "number").iter_rows()


def _draw(policy: Policy, missing: pl.DataFrame, prompts: pl.DataFrame, desk: Desk, ledger: Ledger) -> None:
    """First with `n` in one call; what such a call leaves out (many servers ignore it), one by one."""
    total, left = missing.height, missing
    single = policy.samples == 1 or "n" in lacking(policy, {"n"}, desk, policy.path)
    for alone in (single, True):
        short: list[dict[str, Any]] = []
        for answers in ask(policy, _calls(policy, left, prompts, alone), desk):
            rows = [row for answer in answers for row in _rows(policy, answer)]
            short += [row for row in rows if row.pop("short", False)]
            rows = [row for row in rows if row not in short]
            if rows:
                ledger.append(pl.DataFrame(rows, schema=dict(types(Samples))))
            total -= len(rows)
            tell(f"samples/{policy.name}", missing.height - total, missing.height)
        if not short:
            return
        left = pl.DataFrame(short, schema=dict(types(Samples))).select(KEY).sort(KEY)


def _calls(policy: Policy, missing: pl.DataFrame, prompts: pl.DataFrame, alone: bool) -> Iterator[Call]:
    for prompt_id, messages, numbers in _grouped(missing, prompts):
        for group in [[one] for one in sorted(numbers)] if alone else policy.groups(numbers):
            yield policy.call(prompt_id, messages, group)


def _rows(policy: Policy, answer: Answer) -> Iterator[dict[str, Any]]:
    """A row a sample that was asked for."""
    prompt_id, numbers = answer.call.unit
    cost = answer.cost_usd / len(numbers)
    for place, number in enumerate(numbers):
        row = {
            "prompt_id": prompt_id,
            "number": number,
            "fingerprint": policy.fingerprint,
            "sampling": policy.described(),
            "cost_usd": cost,
        }
        if answer.failure is not None:
            yield row | {"failure": answer.failure, "retry": True, "raw": answer.raw}
        elif place < len(answer.value):
            yield row | answer.value[place]._asdict() | {"retry": False}
        else:
            yield row | {"short": True}


def respond(recipe: Recipe, workspace: Workspace, shard: Shard) -> bool:
    """Bring a shard's responses up to what was given and what was sampled; whether they were made anew."""
    given = workspace.file(GIVEN, shard)
    files = [workspace.file(samples_table(policy), shard) for policy in policies_of(recipe)]
    counts = {policy.name: [policy.fingerprint, policy.samples] for policy in policies_of(recipe)}
    made_from = {
        "code": CODE,
        "inputs": [version_of(path) for path in (given, *files)],
        "policies": counts,
        "pool": recipe.pool.model_dump(mode="json") if recipe.pool else None,
    }
    return derive(workspace.file("responses", shard), made_from, _responses, recipe, workspace, shard)


def _responses(recipe: Recipe, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    frames = [pl.read_parquet(workspace.file(GIVEN, shard), glob=False).with_columns(_order=pl.lit(0, pl.Int64))]
    for policy in policies_of(recipe):
        path = workspace.file(samples_table(policy), shard)
        wanted = _wanted(recipe, policy, workspace, shard)
        drawn = pl.read_parquet(path, glob=False).join(wanted, on=KEY, how="semi", maintain_order="left")
        frames.append(
            drawn.filter(pl.col("text").is_not_null()).select(
                *KEY[:1], "text", "sampling", "logprob", "finish_reason", "prompt_tokens", "completion_tokens",
                policies=pl.concat_list(pl.lit(policy.name)),
                sample_count=pl.lit(1, pl.UInt32),
                _order=pl.col("number").cast(pl.Int64) + 1,
            )
        )  # fmt: skip
    return merged(pl.concat(frames, how="diagonal_relaxed"))


def merged(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a distinct text, with everyone who wrote it and how often; its parameters are those of the first."""
    first = ["sampling", "logprob", "finish_reason", "prompt_tokens", "completion_tokens", "steps"]
    rows = rows.sort("prompt_id", "text", "_order", "sampling", maintain_order=True)
    frame = rows.group_by("prompt_id", "text", maintain_order=True).agg(
        pl.col("policies").explode(empty_as_null=False).unique().sort(),
        pl.col("sample_count").sum(),
        pl.col(first).first(),
    )
    ids = [response_id(*key) for key in frame.select("prompt_id", "text").iter_rows()]
    frame = frame.with_columns(pl.Series("response_id", ids, pl.String)).cast({"sample_count": pl.UInt32})
    return check(frame.sort("prompt_id", "response_id"), Responses)


def expected_responses(recipe: Recipe, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """The responses that a shard will have: those that are there, and for each missing sample a text of its likely
    length. For plans."""
    frames = [pl.read_parquet(workspace.file(GIVEN, shard), glob=False).select("prompt_id", "text")]
    for policy in policies_of(recipe):
        path = workspace.file(samples_table(policy), shard)
        if path.exists():
            frames.append(pl.read_parquet(path, glob=False).select("prompt_id", "text").drop_nulls())
        length = int(min(policy.max_tokens, TYPICAL_RESPONSE) * CHARACTERS_PER_TOKEN)
        filler = pl.format("{} {} ", pl.lit(policy.name), "number") + pl.lit(" the" * (length // 4))
        frames.append(missing_samples(recipe, policy, workspace, shard).select("prompt_id", text=filler))
    rows = pl.concat(frames).unique()
    ids = [response_id(*key) for key in rows.iter_rows()]
    return rows.with_columns(pl.Series("response_id", ids, pl.String)).sort("prompt_id", "response_id")


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """One asset a policy, and the responses; nothing where the recipe has no policy."""
    if not recipe.policies:
        return []
    return [*(_samples(recipe, policy) for policy in policies_of(recipe)), _responses_asset(recipe)]


def _samples(recipe: Recipe, policy: Policy) -> dg.AssetsDefinition:
    @dg.asset(
        **face.common(recipe, "samples", policy.name, sharded=True),
        deps=[face.key(recipe, "prompts")],
        code_version=policy.fingerprint,
    )
    def samples(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = Workspace.of(recipe)
        budget = budget_of(recipe, workspace)
        drawn = sum(sample_shard(recipe, policy, workspace, shard, budget) for shard in face.shards(context, workspace))
        files = [
            path for one in workspace.each_shard() if (path := workspace.file(samples_table(policy), one)).exists()
        ]
        found = scan(files).group_by("finish_reason", "failure").len().sort("len", descending=True).collect()
        table = dg.MarkdownMetadataValue(views.table(found))
        written_for = scan(files).select(pl.col("prompt_id").n_unique()).collect().item()
        rows = int(found.get_column("len").sum())
        return face.result(
            {"dagster/row_count": rows, "new samples": drawn, "prompts": written_for, "how they ended": table}
        )

    return samples


def _responses_asset(recipe: Recipe) -> dg.AssetsDefinition:
    needs = [face.key(recipe, "prompts"), *(face.key(recipe, "samples", one.name) for one in policies_of(recipe))]

    @dg.asset(**face.common(recipe, "responses", sharded=True), deps=needs)
    def responses(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Distinct texts for each prompt, given and sampled, with everyone who wrote them."""
        workspace = Workspace.of(recipe)
        for shard in face.shards(context, workspace):
            respond(recipe, workspace, shard)
        rows = scan(workspace.files("responses")).select(pl.len()).collect().item()
        return face.result(counted(workspace, "responses", rows))

    return responses
