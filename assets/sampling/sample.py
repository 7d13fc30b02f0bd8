"""Sampling: policies write the samples that are missing, and responses are what was given and what was sampled."""

from functools import partial

import polars as pl

from pairwright.assets.intake.reasoned import REASONING
from pairwright.assets.intake.stages import responses_view
from pairwright.assets.sampling.draw import Prompts, draw
from pairwright.assets.sampling.policies.base import Policy
from pairwright.assets.sampling.policies.served import ServedPolicy
from pairwright.assets.sampling.policies.transformers import Transformers
from pairwright.assets.sampling.pool import KEY, draw_of, policies_of, samples_table, wanted_samples
from pairwright.assets.sampling.typed_prompts import columns_read, missing_of, questions, unread_rows
from pairwright.assets.sampling.write import seconds_per_sample, write
from pairwright.assets.stages.basis import Basis, Input, Inputs
from pairwright.assets.stages.run import Run
from pairwright.assets.stages.stage import Derived
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.media import FOLDER
from pairwright.assets.storage.reply_ledger import open_replies
from pairwright.assets.storage.store import GIVEN, Shard, Workspace, read_table
from pairwright.models.estimate import Estimate
from pairwright.models.local.generate import Writer
from pairwright.models.serving.endpoint import CHARACTERS_PER_TOKEN
from pairwright.models.serving.reasoning import parted
from pairwright.schemas.ids import response_ids
from pairwright.schemas.paid_tables import Samples
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Responses, check, with_gained

ANSWER = ["text", "reasoning", "tool_calls"]
"""What tells responses to a prompt apart."""
CODE = 4
"""Raised when the same samples would give other responses."""
TYPICAL_RESPONSE = 300
"""Tokens that a plan takes an unwritten response for, unless max_tokens is less."""


def sample_shard(recipe: Recipe, policy: Policy, workspace: Workspace, shard: Shard, run: Run | None = None) -> int:
    """Draw the samples that a shard lacks; how many there were. A run loads a model that writes here once."""
    run = run or Run()
    stage = samples_basis(recipe, policy)
    work, inputs = stage.stamp(workspace, shard), stage.reading(workspace, shard)
    with Ledger(workspace, samples_table(policy), shard, Samples, KEY) as ledger:
        if ledger.is_done(work):
            return 0
        missing = missing_of(recipe, policy, ledger, inputs, shard)
        if missing.unread.height:
            ledger.append(unread_rows(policy, missing.unread))
        if (asked := missing.asked).height:
            prompts, table = read_table(inputs.file("prompts", shard)), samples_table(policy)
            if isinstance(policy, Transformers):
                writer = partial(run.once, policy.fingerprint, partial(Writer.load, policy.model, policy.batch_size))
                write(policy, asked, prompts, ledger, writer, workspace, table)
            elif isinstance(policy, ServedPolicy):
                with open_replies(policy, workspace, shard, asked, run.budget, answers_in=table) as one:
                    draw(policy, asked, Prompts(prompts, workspace.root / FOLDER), one, ledger)
        ledger.merge(work)
    return missing.asked.height


def samples_basis(recipe: Recipe, policy: Policy) -> Basis:
    """What a policy's samples follow from."""
    beyond = sorted(policy.modalities - {"text"})
    return Basis(
        name=f"samples/{policy.name}",
        table=samples_table(policy),
        inputs=(Input("prompts"),),
        options=[policy.samples, *draw_of(recipe), *([beyond] if beyond else [])],
        code=policy.fingerprint,
    )


def missing_samples(recipe: Recipe, policy: Policy, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """KEY of the samples that `sample_shard` would draw."""
    with Ledger(workspace, samples_table(policy), shard, Samples, KEY) as ledger:
        return missing_of(recipe, policy, ledger, workspace, shard).asked


def estimate(recipe: Recipe, policy: Policy, workspace: Workspace) -> Estimate:
    """What the samples that are missing would take, without spending anything."""
    total = Estimate()
    for shard in workspace.each_shard():
        missing = missing_samples(recipe, policy, workspace, shard)
        prompts = read_table(workspace.file("prompts", shard), columns=columns_read())
        total = total + policy.estimate((one.messages, one.numbers) for one in questions(missing, prompts, None))
    if isinstance(policy, Transformers):
        total = total._replace(seconds=total.passes * seconds_per_sample(workspace, samples_table(policy)))
    return total


def respond(recipe: Recipe, workspace: Workspace, shard: Shard) -> bool:
    """Bring a shard's responses up to what was given and what was sampled; whether they were made anew."""
    return bool(responses_stage(recipe).bring_up(workspace, [shard]).files)


def responses_stage(recipe: Recipe) -> Derived:
    """What was given and what was sampled, each text once."""
    policies = policies_of(recipe)
    sampled = tuple(dict.fromkeys(samples_table(policy) for policy in policies))
    tables = ("prompts", GIVEN, *sampled)
    return Derived(
        name="responses",
        table="responses",
        inputs=tuple(map(Input, tables)),
        options={
            "policies": [[policy.name, policy.fingerprint, policy.samples] for policy in policies],
            "pool": draw_of(recipe),
        },
        code=CODE,
        make=partial(_responses, recipe),
        expected=partial(expected_responses, recipe),
        doc="Distinct texts for each prompt, given and sampled, with everyone who wrote them.",
        schema=Responses,
        checks=(REASONING,),
        view=partial(responses_view, samples=sampled),
        view_reads=sampled,
    )


def _responses(recipe: Recipe, inputs: Inputs) -> pl.DataFrame:
    frames = [read_table(inputs.file(GIVEN, inputs.shard)).with_columns(_order=pl.lit(0, pl.Int64))]
    for policy in policies_of(recipe):
        frames.append(
            _answers(samples_of(recipe, policy, inputs, inputs.shard)).select(
                *KEY[:1], *ANSWER, "thought", "sampling",
                "logprob", "finish_reason", "prompt_tokens", "completion_tokens",
                policies=pl.concat_list(pl.lit(policy.name)),
                sample_count=pl.lit(1, pl.UInt32),
                _order=pl.col("number").cast(pl.Int64) + 1,
            )
        )  # fmt: skip
    return merged(pl.concat(frames, how="diagonal_relaxed"))


def _answers(drawn: pl.DataFrame) -> pl.DataFrame:
    """The samples that were written, each with its answer as `text`, and as `thought` the reasoning that it opened with
    where nobody had told the two apart. Log-prob and token count would be those of both, and so are left out then.
    """
    drawn = drawn.filter(pl.col("text").is_not_null())
    parts = [
        (None, text) if reasoning is not None else parted(text)
        for text, reasoning in drawn.select("text", "reasoning").iter_rows()
    ]
    split = pl.DataFrame(parts, schema={"thought": pl.String, "answer": pl.String}, orient="row")
    whole = (pl.col("answer") == pl.col("text")) & pl.col("reasoning").is_null()
    counts = [pl.when(whole).then(name).alias(name) for name in ("logprob", "completion_tokens")]
    return drawn.hstack(split).drop_nulls("answer").with_columns(counts).with_columns(text="answer")


def samples_of(recipe: Recipe, policy: Policy, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """The samples of a policy that the recipe asks for, written or failed; others may be kept beside them."""
    rows = with_gained(read_table(workspace.file(samples_table(policy), shard)), Samples)
    wanted = wanted_samples(recipe, policy, workspace, shard)
    return rows.join(wanted, on=KEY, how="semi", maintain_order="left")


def merged(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a distinct answer, with everyone who wrote it and how often; its parameters are those of the first."""
    first = ["sampling", "logprob", "finish_reason", "prompt_tokens", "completion_tokens", "steps"]
    rows = with_gained(rows, Responses)
    told = [name for name in ANSWER if name == "text" or rows.get_column(name).null_count() < rows.height]
    rows = rows.sort("prompt_id", *told, "_order", "sampling", maintain_order=True)
    frame = rows.group_by("prompt_id", *told, maintain_order=True).agg(
        pl.col("policies").explode(empty_as_null=False).unique().sort(),
        pl.col("sample_count").sum(),
        pl.col(first).first(),
        pl.col("thought").drop_nulls().first(),
    )
    frame = _identified(with_gained(frame, Responses)).cast({"sample_count": pl.UInt32})
    frame = frame.with_columns(reasoning=pl.coalesce("reasoning", "thought"))
    return check(frame.sort("prompt_id", "response_id"), Responses)


def _identified(rows: pl.DataFrame) -> pl.DataFrame:
    """With the ids of responses. What was cut out of a text is not told apart by it: verdicts on the answer stand."""
    return rows.with_columns(response_ids(*(rows.get_column(name) for name in ("prompt_id", *ANSWER))))


def expected_responses(recipe: Recipe, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """The responses that a shard will have: those that are there, and for each missing sample a text of its likely
    length. For plans."""
    columns = ["prompt_id", *ANSWER]
    frames = [with_gained(read_table(workspace.file(GIVEN, shard)), Responses).select(columns)]
    for policy in policies_of(recipe):
        path = workspace.file(samples_table(policy), shard)
        if path.exists():
            frames.append(_answers(samples_of(recipe, policy, workspace, shard)).select(columns))
        length = int(min(policy.longest, TYPICAL_RESPONSE) * CHARACTERS_PER_TOKEN)
        filler = pl.format("{} {} ", pl.lit(policy.name), "number") + pl.lit(" the" * (length // 4))
        frames.append(missing_samples(recipe, policy, workspace, shard).select("prompt_id", text=filler))
    return _identified(pl.concat(frames, how="diagonal").unique()).sort("prompt_id", "response_id")
