"""Which policy writes how often for which prompt."""

from typing import Any

import polars as pl

from pairwright.assets.sampling.policies.base import Policy
from pairwright.assets.storage.store import Shard, Workspace, read_table
from pairwright.schemas.ids import digest
from pairwright.schemas.options import PoolOptions
from pairwright.schemas.recipe import Recipe

KEY = ["prompt_id", "number"]
"""Of a policy's sample."""


def policies_of(recipe: Recipe) -> list[Policy]:
    """The recipe's policies, in its order, each of two twins for itself."""
    return [one for policy in recipe.policies if isinstance(policy, Policy) for one in policy.variants]


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
    return _drawn(recipe.pool, _prints(recipe), prompt_id)


def _prints(recipe: Recipe) -> list[str]:
    return sorted({policy.pooled_as for policy in policies_of(recipe)})


def _drawn(pool: PoolOptions | None, prints: list[str], prompt_id: str) -> set[str]:
    if pool is None:
        return set(prints)
    return set(sorted(prints, key=lambda one: digest("pool", str(pool.seed), prompt_id, one))[: pool.size])


def draw_of(recipe: Recipe) -> list[Any]:
    """All that `writers` depends on besides the prompt, for stamps: without a pool, a policy writes for every prompt
    whichever others there are."""
    if recipe.pool is None:
        return [None]
    return [recipe.pool.model_dump(mode="json"), _prints(recipe)]


def wanted_samples(recipe: Recipe, policy: Policy, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """KEY of the samples that a policy is to write in a shard."""
    ids = read_table(workspace.file("prompts", shard), columns=["prompt_id"]).get_column("prompt_id")
    mine, prints = policy.pooled_as, _prints(recipe)
    ids = pl.Series("prompt_id", [one for one in ids if mine in _drawn(recipe.pool, prints, one)], pl.String)
    numbers = pl.int_ranges(0, policy.samples, dtype=pl.UInt32)
    return ids.to_frame().with_columns(number=numbers).explode("number", empty_as_null=False)
