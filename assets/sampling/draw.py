"""Drawing samples from a policy behind a server."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.sampling.policies.served import ServedPolicy
from pairwright.assets.sampling.pool import KEY
from pairwright.assets.sampling.typed_prompts import questions
from pairwright.assets.storage.ledger import Ledger
from pairwright.models.serving.abilities import lacking
from pairwright.models.serving.ask import ask
from pairwright.models.serving.call import Answer, Call
from pairwright.models.serving.reply_store import ReplyStore
from pairwright.schemas.paid_tables import Samples
from pairwright.schemas.tables import types


class Prompts(NamedTuple):
    """What policies write for."""

    rows: pl.DataFrame
    """Of the prompts table."""
    media: Path
    """The folder of what they show."""


def draw(policy: ServedPolicy, missing: pl.DataFrame, prompts: Prompts, replies: ReplyStore, ledger: Ledger) -> None:
    """First with `n` in one call; what such a call leaves out (many servers ignore it; a text may be empty), one by
    one. So nothing that was paid for is thrown away with what is missing."""
    total, left, cost = missing.height, missing, 0.0
    single = policy.samples == 1 or "n" in lacking(policy, {"n"}, replies, policy.path)
    for alone in (single, True):
        short: list[dict[str, Any]] = []
        for answers in ask(policy, _calls(policy, left, prompts, alone), replies):
            rows = [row for answer in answers for row in _rows(policy, answer)]
            short += [row for row in rows if row.pop("short", False)]
            rows = [row for row in rows if row not in short]
            if rows:
                ledger.append(pl.DataFrame(rows, schema=dict(types(Samples))))
            total -= len(rows)
            cost += sum(float(row["cost_usd"]) for row in rows)
            tell(f"samples/{policy.name}", missing.height - total, missing.height, cost)
        if not short:
            return
        left = pl.DataFrame(short, schema=dict(types(Samples))).select(KEY).sort(KEY)


def _calls(policy: ServedPolicy, missing: pl.DataFrame, prompts: Prompts, alone: bool) -> Iterator[Call]:
    for one in questions(missing, prompts.rows, prompts.media):
        for group in [[number] for number in sorted(one.numbers)] if alone else policy.groups(one.numbers):
            yield policy.call(one.prompt_id, one.messages, group, one.tools)


def _rows(policy: ServedPolicy, answer: Answer) -> Iterator[dict[str, Any]]:
    """A row a sample that was asked for; `short` where the reply lacks it and it is to be drawn alone."""
    prompt_id, numbers = answer.call.unit
    samples = answer.value if answer.failure is None else [None] * len(numbers)
    paid = len(numbers) if answer.failure is not None else sum(one is not None for one in samples)
    for number, sample in itertools.zip_longest(numbers, samples):
        row = {
            "prompt_id": prompt_id,
            "number": number,
            "fingerprint": policy.fingerprint,
            "sampling": policy.described(),
            "cost_usd": answer.cost_usd / paid,
        }
        if answer.failure is not None:
            yield row | {"failure": answer.failure, "retry": True, "raw": answer.raw}
        elif sample is not None:
            yield row | sample._asdict() | {"retry": False}
        else:
            yield row | {"short": True}
