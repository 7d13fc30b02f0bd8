"""Where paid replies are kept, and what a data set has cost so far."""

import contextlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.storage.integrity import damaged, is_damaged
from pairwright.assets.storage.journal import journal_frames
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.reply_store import Budget, Kept, ReplyStore, Spent
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.kinds import Kind
from pairwright.schemas.paid_tables import Replies
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import types

COUNTED = ("calls", "prompt_tokens", "completion_tokens", "cost_usd")
THOUGHT = "reasoning_tokens"
"""Counted beside them: of the completion tokens."""


def replies_table(asker: Kind) -> str:
    """The folder of the replies to a judge or policy."""
    return f"replies/{type(asker).model_fields['kind'].default}-{asker.fingerprint}"


@contextlib.contextmanager
def open_replies(
    asker: Kind,
    workspace: Workspace,
    shard: Shard,
    prompts: pl.DataFrame,
    budget: Budget | None = None,
    apart: str = "",
    answers_in: str = "",
) -> Iterator[ReplyStore]:
    """A replies that writes each reply to the shard's ledger before it is read, and knows those for these prompt_ids.

    When the block ends well, journal and table become one. When it does not, the journal stays: the next build takes
    its replies for its own. Replies kept `apart`, under that ending of the folder's name, answer no other replies: so a
    question can be asked again. The table `answers_in` shows whether any reply was ever of use.
    """
    with Ledger(workspace, replies_table(asker) + apart, shard, Replies, ["prompt_id"]) as ledger:
        ledger.missing(prompts.select("prompt_id").unique())  # takes over what lies under another layout
        current = ledger.journalled().select("prompt_id", "key", "attempt").with_columns(current=True)
        rows = ledger.rows().join(prompts.select("prompt_id").unique(), on="prompt_id", how="semi")
        rows = rows.join(current, on=["prompt_id", "key", "attempt"], how="left").sort("key", "attempt")
        names = list(Kept._fields)
        known = ((Kept(*row[:-1]), bool(row[-1])) for row in rows.select(*names, "current").iter_rows())
        folder = workspace.root / (replies_table(asker) + apart) / "batches"
        keep = partial(_append, ledger)
        proven = partial(_holds_answers, workspace, answers_in)
        yield ReplyStore(budget, known, keep, folder, tell, findings_file(workspace.data), proven)
        merged = ledger.rows().select("prompt_id", "key", "attempt").sort("prompt_id", "key", "attempt")
        ledger.merge(fingerprint([merged.height, *merged.tail(1).row(0)] if merged.height else []))


def _holds_answers(workspace: Workspace, table: str) -> bool:
    """Whether a table of answers, of this data set or another with the same asker, has a row that is no failure."""
    if not table:
        return False
    files = sorted(workspace.data.glob(f"*/{table}/*.parquet"))
    fine = pl.col("failure").is_null()
    if any(scan([path]).filter(fine).head(1).collect().height for path in files if not is_damaged(path)):
        return True
    segments = sorted(workspace.data.glob(f"*/{table}/*.arrows"))
    return any(frame.filter(fine).height for frame in journal_frames(segments))


def _append(ledger: Ledger, reply: Kept) -> None:
    ledger.append_row({**reply._asdict(), "retry": False})


def findings_file(data: Path) -> Path:
    """Where a data directory keeps what its servers were found to be able to do."""
    return data / ".servers.json"


def spending(folders: Iterable[str], workspace: Workspace) -> pl.DataFrame:
    """What calls came to: a row with COUNTED and THOUGHT. `folders` are names from `replies_table`, `*` for all."""
    frames = [_counts(pl.LazyFrame(schema=dict(types(Replies))))]
    for folder in folders:
        for path in sorted(workspace.root.glob(f"{folder}/*.parquet")):
            frames.append(_table_counts(path))
        segments = sorted(workspace.root.glob(f"{folder}/*.arrows"))
        frames += [_counts(frame.lazy()) for frame in journal_frames(segments)]
    return pl.concat(frames).sum()


def costs(askers: Iterable[Kind], workspace: Workspace) -> dict[str, dict[str, float]]:
    """COUNTED of each judge and policy that paid calls were made for, over all builds and nights, by name; and THOUGHT,
    where there is any."""
    found = {}
    for asker in askers:
        folder = replies_table(asker)
        row = spending([folder, f"{folder}-*"], workspace).row(0, named=True)
        if row["calls"]:
            thought = {name: number for name in (THOUGHT,) if (number := row.pop(name))}
            found[asker.name] = row | {"cost_usd": round(row["cost_usd"], 6)} | thought
    return found


def _table_counts(path: Path) -> pl.DataFrame:
    """COUNTED of a file, of which no more than these columns is read, nor checked: its bodies are large."""
    try:
        return _counts(pl.scan_parquet(path, glob=False))  # noqa: TID251 - see above
    except (pl.exceptions.PolarsError, OSError) as error:
        raise damaged(path, error) from error


def _counts(rows: pl.LazyFrame) -> pl.DataFrame:
    """COUNTED of what was paid for here: replies that were taken over stand in the books of where they come from."""
    columns = rows.collect_schema()
    if "adopted" in columns:
        rows = rows.filter(~pl.col("adopted").fill_null(False))
    if THOUGHT not in columns:
        rows = rows.with_columns(pl.lit(None, pl.UInt32).alias(THOUGHT))
    return rows.select(
        calls=pl.len().cast(pl.Int64),
        prompt_tokens=pl.col("prompt_tokens").sum().cast(pl.Int64),
        completion_tokens=pl.col("completion_tokens").sum().cast(pl.Int64),
        cost_usd=pl.col("cost_usd").sum().cast(pl.Float64),
        reasoning_tokens=pl.col(THOUGHT).sum().cast(pl.Int64),
    ).collect()


def budget_of(recipe: Recipe, workspace: Workspace) -> Budget:
    """The recipe's budget, less what its data set has cost in all builds so far.

    Read it anew at the start of each step that pays, while the data set's lock is held: then nobody else spends.
    Raises RecipeError for a cap in USD over a distant server without prices: it would hold nothing.
    """
    for one in [*recipe.policies, *recipe.judges]:
        if recipe.budget.usd is not None and isinstance(one, Endpoint) and one.is_unpriced:
            raise RecipeError(
                f"budget.usd is {recipe.budget.usd:g}, but {one.name} has no price; state "
                "`price: {input: …, output: …}` in USD per million tokens, or cap calls or tokens"
            )
    row = spending(["replies/*"], workspace).row(0, named=True)
    spent = Spent(row["calls"], row["prompt_tokens"] + row["completion_tokens"], row["cost_usd"])
    return Budget(recipe.budget.usd, recipe.budget.calls, recipe.budget.tokens, spent)
