"""Writing samples with a policy's model in this process."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.sampling.policies.base import Sample
from pairwright.assets.sampling.policies.transformers import Transformers
from pairwright.assets.storage.integrity import kept_record
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Workspace, write_record
from pairwright.models.local.generate import Draft, Drawing, Writer, Written
from pairwright.models.local.turns import each_turns
from pairwright.models.serving.reasoning import answer_start, told_apart
from pairwright.models.serving.reply import Choice, UnusableError
from pairwright.schemas.paid_tables import Samples
from pairwright.schemas.tables import types

ENOUGH = 32
"""Samples of a build from which a pace is taken."""
PIECE = 4_096
"""Samples whose prompts are rendered at a time: batches are of like lengths within a piece."""


def write(
    policy: Transformers,
    missing: pl.DataFrame,
    prompts: pl.DataFrame,
    ledger: Ledger,
    writer: Callable[[], Writer],
    workspace: Workspace,
    table: str,
) -> None:
    """Write what is missing, and keep each batch at once. `writer` loads the model."""
    model = writer()
    how = Drawing(policy.temperature, policy.top_p, policy.max_tokens, tuple(policy.stop))
    done, start = 0, time.perf_counter()
    for drafts in _pieces(policy, missing, prompts):
        for some in model.write(drafts, how):
            rows = [_row(policy, one) for one in some]
            ledger.append(pl.DataFrame(rows, schema=dict(types(Samples))))
            done += len(rows)
            tell(f"samples/{policy.name}", done, missing.height)
    if done >= ENOUGH:
        write_record(workspace.root / table / "pace.json", {"seconds_per_sample": (time.perf_counter() - start) / done})


def seconds_per_sample(workspace: Workspace, table: str) -> float:
    """As the last build was; 0 where none has been."""
    pace = (kept_record(workspace.root / table / "pace.json") or {}).get("seconds_per_sample")
    return pace if isinstance(pace, float) else 0.0


def _pieces(policy: Transformers, missing: pl.DataFrame, prompts: pl.DataFrame) -> Iterator[list[Draft]]:
    numbers = missing.group_by("prompt_id", maintain_order=True).agg("number")
    of_prompt = dict(numbers.iter_rows())
    drafts = list[Draft]()
    for prompt_id, turns in each_turns(prompts.join(numbers, on="prompt_id", how="semi", maintain_order="left")):
        for number in of_prompt[prompt_id]:
            chat = policy.chat([dict(one) for one in turns.messages], number)
            drafts.append(Draft((prompt_id, number), chat, policy.sample_seed(prompt_id, number), turns.tools))
        if len(drafts) >= PIECE:
            yield drafts
            drafts = []
    if drafts:
        yield drafts


def _row(policy: Transformers, one: Written) -> dict[str, Any]:
    """A row of the samples table. To write it again would give the same, so a failure is a fact, too."""
    prompt_id, number = one.key
    row = {
        "prompt_id": prompt_id,
        "number": number,
        "fingerprint": policy.fingerprint,
        "sampling": policy.described(),
        "cost_usd": 0.0,
        "retry": False,
    }
    if one.failure is not None:
        return row | {"failure": one.failure}
    try:
        return row | _sample(policy, one)._asdict()
    except UnusableError as problem:
        return row | {"failure": str(problem), "raw": one.text}


def _sample(policy: Transformers, one: Written) -> Sample:
    """Raises UnusableError for one that never comes to its answer."""
    choice = told_apart(Choice(one.text, one.finish_reason, []), policy.thinking)
    if not choice.text.strip():
        cut = one.finish_reason == "length"
        raise UnusableError("truncated: max_tokens was reached before the answer" if cut else "a sample is empty")
    if choice.reasoning is None:
        answer_start(choice.text)
    reason, made = one.finish_reason, one.completion_tokens
    return Sample(choice.text, choice.reasoning, None, reason, one.logprob, one.prompt_tokens, made)
