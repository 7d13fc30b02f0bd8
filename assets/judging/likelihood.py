"""Likelihoods: each model's one pass over the responses, a table of its own that judges and filters share."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.judging.domains import domains_table, prompts_of
from pairwright.assets.judging.missing_readings import KEY, WANTED, missing, with_known
from pairwright.assets.judging.speed import Watch, seconds_per_token
from pairwright.assets.stages.basis import Basis, Input
from pairwright.assets.stages.run import Run
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan
from pairwright.judges.base import SAMPLE, Batch, Judge
from pairwright.models.estimate import Estimate
from pairwright.models.local.backend import Backend
from pairwright.models.local.engine import count_tokens, read
from pairwright.models.local.loading import load_tokenizer
from pairwright.models.local.open_backend import limit_of, load
from pairwright.models.local.request import PassRequest, Tables, united
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.paid_tables import Likelihoods
from pairwright.schemas.recipe import Recipe

TRIED = 16
"""Responses that a small model's pace is tried on for a plan."""
PIECE = 4_096
"""Responses whose texts are in memory at a time."""


def passes(recipe: Recipe) -> list[PassRequest]:
    """The passes that a recipe's judges, filters and release need, each once.

    Raises RecipeError when a backend cannot give what is asked of it, or a judge compares a model with itself.
    """
    judges = [need for one in recipe.judges if isinstance(one, Judge) for need in _distinct(one)]
    filters = [need for one in recipe.filters for need in one.needs()]
    reference = reference_need(recipe)
    return list(united([*judges, *(need for need in (*filters, reference) if need)]).values())


def _distinct(judge: Judge) -> Sequence[PassRequest]:
    """What a judge needs. Raises RecipeError where two of its models are one: its scores would all be 0."""
    needs = judge.needs()
    if len({need.key for need in needs}) < len(needs):
        ids = " and ".join(need.model.served_as or need.model.id for need in needs)
        raise RecipeError(
            f"judge {judge.name}: its models ({ids}) are the same one, so every score would be 0; name two models, "
            "on servers by two ids or `served_as`"
        )
    return needs


def reference_need(recipe: Recipe) -> PassRequest | None:
    """The pass behind a release's reference log-probabilities."""
    return PassRequest(recipe.release.reference_model) if recipe.release.reference_model else None


def read_pass(need: PassRequest, workspace: Workspace, shards: Iterable[Shard]) -> int:
    """Read what several shards lack; how many responses there were. The model is loaded once, and only if needed.

    Raises JudgeError, in one line, when it cannot be; no table has changed then.
    """
    run = Run()
    return sum(read_in(run, need, workspace, shard) for shard in shards)


def read_in(run: Run, need: PassRequest, workspace: Workspace, shard: Shard) -> int:
    """Read what a shard lacks; how many responses there were. A run loads the model once, and only if needed."""
    return read_shard(need, workspace, shard, lambda: run.once(need.key, lambda: load(need.model)))


def pass_basis(need: PassRequest) -> Basis:
    """What a model's pass over the responses follows from."""
    tables = ["prompts", "responses", *([domains_table(need.context.router)] if need.context.router else [])]
    return Basis(
        name=f"likelihoods/{name(need)}",
        table=need.table,
        inputs=tuple(map(Input, tables)),
        options=[sorted(need.wants), list(need.follow_ups)],
        code=need.key,
    )


def read_shard(need: PassRequest, workspace: Workspace, shard: Shard, backend: Callable[[], Backend]) -> int:
    """Read the responses of a shard that lack something; how many there were. `backend` loads the model, if any."""
    stage = pass_basis(need)
    work, inputs = stage.stamp(workspace, shard), stage.reading(workspace, shard)
    with Ledger(workspace, need.table, shard, Likelihoods, WANTED) as ledger:
        if ledger.is_done(work):
            return 0
        todo, known = missing(need, ledger, wanted(need, inputs, shard))
        done, watch = 0, Watch(need, workspace)
        for some in _pieces(todo):
            model = backend()
            watch.start()
            for frame in read(_batch(some, need, inputs, shard), need, model):
                watch.count(frame)
                ledger.append(with_known(frame, known).join(some, on=KEY, how="left", maintain_order="left"))
                done += frame.height
                tell(f"likelihoods/{name(need)} {shard.index + 1}/{shard.count}", done, todo.height)
        watch.keep()
        ledger.merge(work)
    return todo.height


def wanted(need: PassRequest, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """WANTED for each response of a shard."""
    responses = scan([workspace.file("responses", shard)]).select(KEY)
    if not need.context.reads_domain:
        return responses.with_columns(evidence=pl.lit("")).collect()
    domain = prompts_of(workspace, shard, need.context.router).select(
        "prompt_id", evidence=pl.col("domain").fill_null("")
    )
    return responses.join(domain, on="prompt_id", how="left", maintain_order="left").collect()


def estimate(
    need: PassRequest, workspace: Workspace, expected: Callable[[Shard], pl.DataFrame] | None = None
) -> Estimate:
    """The readings that are missing, with their tokens, by a sample that is tokenised, and their time, where known.

    `expected` tells the responses (prompt_id, response_id, text) of a shard where some are still to be written.
    """
    total, pace = Estimate(), None
    for shard in workspace.each_shard():
        if expected:
            todo, path = expected(shard), workspace.file(need.table, shard)
            if path.exists():
                todo = todo.join(read_table(path, columns=KEY), on=KEY, how="anti")
            few = todo.head(SAMPLE)
            batch = Batch(_prompts(few, need, workspace, shard), few)
        else:
            with Ledger(workspace, need.table, shard, Likelihoods, WANTED) as ledger:
                todo, _ = missing(need, ledger, wanted(need, workspace, shard))
            few = todo.head(SAMPLE)
            batch = _batch(few, need, workspace, shard) if few.height else Batch(few, few)
        if few.height:
            tokens = count_tokens(batch, need, load_tokenizer(need.model), limit_of(need.model))
            pace = pace or seconds_per_token(need, workspace, _first(batch, TRIED))
            tokens = tokens * todo.height // few.height
            total += Estimate(passes=todo.height, prompt_tokens=tokens, seconds=tokens * (pace or 0.0))
    return total


def _first(batch: Batch, count: int) -> Batch:
    """So many of its responses, and their prompts."""
    few = batch.responses.head(count)
    return Batch(batch.prompts.join(few, on="prompt_id", how="semi", maintain_order="left"), few)


def _pieces(todo: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Whole prompts at a time, about PIECE responses each."""
    starts = pl.int_range(pl.len()).first().over("prompt_id")
    yield from todo.with_columns(_piece=starts // PIECE).partition_by("_piece", maintain_order=True, include_key=False)


def _batch(some: pl.DataFrame, need: PassRequest, workspace: Workspace, shard: Shard) -> Batch:
    """The prompts and texts of a few keys, of which no more is read from the files than the stretch where they lie."""
    responses = scan([workspace.file("responses", shard)]).filter(_near(some))
    beside = [name for name in ("tool_calls",) if name in responses.collect_schema()]
    texts = responses.select(*KEY, "text", *beside).join(some.lazy(), on=KEY, how="semi", maintain_order="left")
    return Batch(_prompts(some, need, workspace, shard), texts.collect())


def _prompts(some: pl.DataFrame, need: PassRequest, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    prompts = prompts_of(workspace, shard, need.context.router).filter(_near(some))
    return prompts.join(some.lazy(), on="prompt_id", how="semi", maintain_order="left").collect()


def _near(some: pl.DataFrame) -> pl.Expr:
    ids = some.get_column("prompt_id")
    return pl.col("prompt_id").is_between(pl.lit(ids.min()), pl.lit(ids.max()))


def tables_for(needs: list[PassRequest], workspace: Workspace, shard: Shard, keys: pl.DataFrame) -> Tables:
    """Key of a pass → its rows for the responses in `keys`."""
    tables = {}
    for need in needs:
        asked = wanted(need, workspace, shard).join(keys, on=KEY, how="semi")
        rows = scan([workspace.file(need.table, shard)])
        tables[need.key] = rows.join(asked.lazy(), on=WANTED, how="semi", maintain_order="left").collect()
    return tables


def name(need: PassRequest) -> str:
    """What people see: the model's name and the beginning of the pass's key."""
    slug = re.sub(r"[^a-z0-9]+", "-", need.model.id.lower().rstrip("/").split("/")[-1]).strip("-") or "model"
    return f"{slug}-{need.key[:8]}"
