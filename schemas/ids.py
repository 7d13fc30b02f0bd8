"""Content ids: what a row is called depends on its content alone, on every machine and with every library version.

An id is blake2b over canonical bytes: each part is UTF-8, preceded by its length, so no two different lists of
parts share bytes. Ids are hex, so they sort the same as text and as numbers.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import polars as pl

ID_BYTES = 12
"""96 bits: among 10^8 rows the chance of any collision is about 6e-14."""
SEEDS = 2**31 - 2**16
"""Seeds are less. Servers and further tries count on from one, and stay within 31 bits all the same."""


def digest(*parts: str | bytes, size: int = ID_BYTES) -> str:
    """Hex id (2 * size characters) of a list of texts or byte strings."""
    state = blake2b(digest_size=size)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def prompt_id(messages: Iterable[Mapping[str, str]], typed: str | None = None, tools: str | None = None) -> str:
    """Id of a conversation: its roles and contents in order; where it holds more than texts, the canonical JSON of
    that, and of its tools."""
    parts = ["prompt"]
    for message in messages:
        parts += (message["role"], message["content"])
    for name, content in (("typed", typed), ("tools", tools)):
        if content is not None:
            parts += (name, content)
    return digest(*parts)


def response_id(prompt: str, text: str, reasoning: str | None = None, tool_calls: str | None = None) -> str:
    """Id of a distinct answer to the prompt with that id: of its text and, where it has them, of the reasoning that led
    to it and of its tool calls (canonical JSON)."""
    told = {"reasoning": reasoning, "tool_calls": tool_calls}
    return digest("response", prompt, text, *(part for name, one in told.items() if one for part in (name, one)))


def references_id(references: Iterable[str]) -> str:
    """Id of a prompt's references in their order: verdicts of judges that read them hold for these alone."""
    return digest("references", *references)


def prompt_ids(conversations: pl.Series, typed: pl.Series | None = None, tools: pl.Series | None = None) -> pl.Series:
    """`prompt_id` of each of many conversations, lists of role and content, and what they hold more than that."""
    turns = conversations.explode(empty_as_null=False).struct
    plain = _digests("prompt", [turns.field("role"), turns.field("content")], conversations.list.len())
    return _with_more(plain, prompt_id, [conversations], [typed, tools])


def response_ids(
    prompts: pl.Series, texts: pl.Series, reasoning: pl.Series | None = None, tool_calls: pl.Series | None = None
) -> pl.Series:
    """`response_id` of each of many texts, beside the ids of their prompts, and what came with them."""
    plain = _digests("response", [prompts, texts]).alias("response_id")
    return _with_more(plain, response_id, [prompts, texts], [reasoning, tool_calls])


def _with_more(
    plain: pl.Series, one: Callable[..., str], told: list[pl.Series], more: list[pl.Series | None]
) -> pl.Series:
    """Ids of rows of texts, with those of the rows that hold more."""
    given = [column for column in more if column is not None]
    rows = sorted({row for column in given for row in column.is_not_null().arg_true()})
    if not rows:
        return plain
    columns = [*told, *(pl.repeat(None, len(plain), eager=True) if column is None else column for column in more)]
    ids = [one(*parts) for parts in zip(*(column.gather(rows).to_list() for column in columns), strict=True)]
    return plain.clone().scatter(rows, ids)


def references_ids(lists: pl.Series) -> pl.Series:
    """`references_id` of each of many lists of references; without nulls."""
    return _digests("references", [lists.explode(empty_as_null=False)], lists.list.len())


def _digests(first: str, parts: list[pl.Series], sizes: pl.Series | None = None) -> pl.Series:
    """`digest` of `first` and a row's parts, for each row; given `sizes`, of so many rows at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(parts[0]) and sizes is None:
        return pl.Series([], dtype=pl.String)
    # To and from numpy and scalars by their buffers: Arrow's own ways import pandas, for a third of a second.
    framed = []  # canonical bytes of each part: its length, then its text
    for part in parts:
        text = part.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_binary())
        starts = np.frombuffer(text.buffers()[1], "<i8", len(text) + 1, text.offset * 8)
        lengths = np.diff(starts).astype("<u8")
        framed += [pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(text), [None, pa.py_buffer(lengths)]), text]
    nothing = pa.Array.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(bytes(16)), pa.py_buffer(b"")])[0]
    joined = pc.binary_join_element_wise(*(one.cast(pa.large_binary()) for one in framed), nothing)
    _, offsets, content = joined.buffers()
    cuts = np.frombuffer(offsets, "<i8", len(joined) + 1, joined.offset * 8)
    if sizes is not None:
        cuts = cuts[np.concatenate(([0], np.cumsum(sizes.to_numpy(), dtype=np.int64)))]
    head, data, ends = len(first).to_bytes(8, "little") + first.encode(), memoryview(content or b""), cuts.tolist()
    return pl.Series(
        [blake2b(head + data[a:b], digest_size=ID_BYTES).hexdigest() for a, b in pairwise(ends)], dtype=pl.String
    )


def fingerprint(content: Any) -> str:
    """16 hex characters naming a JSON-like value, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return digest("fingerprint", text, size=8)


def seed_of(*parts: str) -> int:
    """A seed for a model's draws, from 0 to SEEDS - 1: another list of parts has another stream of draws."""
    return int(digest("seed", *parts, size=8), 16) % SEEDS


def shard_of(prompt_id: pl.Expr, shards: int) -> pl.Expr:
    """The shard of each prompt: ids in order, cut into equal ranges.

    Ranges (not remainders) keep the concatenation of the shards sorted by id, however many shards there are.
    """
    return prompt_id.str.slice(0, 8).str.to_integer(base=16, dtype=pl.UInt64) * shards // 2**32


def scattered(identifier: pl.Expr, *key: str) -> pl.Expr:
    """Unsigned 64-bit numbers that order ids at random: from the id and the parts of `key` alone."""
    number = identifier.str.slice(0, 15).str.to_integer(base=16, dtype=pl.UInt64)
    mixed = (number ^ pl.lit(int(digest(*key, size=8), 16), pl.UInt64)) * pl.lit(0x9E3779B97F4A7C15, pl.UInt64)
    return (mixed ^ (mixed // 2**32)) * pl.lit(0xD6E8FEB86659FD93, pl.UInt64)


def drawn(identifier: pl.Expr, share: float, *key: str) -> pl.Expr:
    """Whether an id is in a share of all ids, drawn by the parts of `key`. A greater share only adds ids."""
    return (scattered(identifier, *key) // 2**32).cast(pl.Float64) / 2**32 < share
