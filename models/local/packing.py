"""How branches that share a beginning are laid out in rows, and rows in batches, so that little is read twice.

A row is `[shared | rest of a | rest of b | …]`: each rest sees the shared part and itself. Where little is shared, each
branch is a row of its own, which needs no mask and is fastest.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

ROW = 512
"""Tokens of a row with several branches: its mask grows with the square."""
WORTH_SHARING = 0.8
"""Rows are shared when that leaves at most this part of the tokens."""
LEAVES = 384
"""Tokens of a row behind a stored prefix: longer rows waste attention on each other, shorter ones waste copies."""
MASK = 1 << 24
"""Greatest number of elements of a batch's mask."""


class Branch(NamedTuple):
    """Tokens to read, of which those from `start` on are scored; `branches` go on from its first `keep` tokens."""

    ids: list[int]
    start: int
    """At least 1: a token is predicted from the one before it."""
    sink: tuple[int, ...]
    """Where the result goes."""
    keep: int = 0
    branches: tuple["Branch", ...] = ()
    hidden: bool = False
    """Whether hidden states are wanted."""


class Member(NamedTuple):
    """A branch within a row: where its tokens are. The last token is predicted but not read, so it is in no row."""

    branch: Branch
    path: np.ndarray


class Row(NamedTuple):
    """Tokens read together."""

    ids: np.ndarray
    positions: np.ndarray
    segments: np.ndarray
    """0 for the shared part, then 1, 2, … for the rests."""
    members: list[Member]

    @property
    def is_packed(self) -> bool:
        """Whether it needs a mask."""
        return len(self.members) > 1


def shared_length(branches: Sequence[Branch]) -> int:
    """Tokens that all branches begin with, leaving each the token from which its first scored one is predicted.

    No more than what is kept of a branch for those that go on from it: they need all of what is stored before it.
    """
    most = min(min(one.start - 1, one.keep) if one.branches else one.start - 1 for one in branches)
    first = branches[0].ids
    for branch in branches[1:]:
        same = 0
        while same < most and first[same] == branch.ids[same]:
            same += 1
        most = same
    return most


def pack(branches: Sequence[Branch], prefix: int, *, sharing: bool) -> list[Row]:
    """Rows for branches of one prompt, or of one response, behind `prefix` tokens that are stored."""
    shared = shared_length(branches) if sharing and (len(branches) > 1 or prefix) else 0
    rests = [len(branch.ids) - 1 - shared for branch in branches]
    together, apart = shared + sum(rests), sum(rests) + shared * len(rests)
    if not prefix and (len(branches) == 1 or together > WORTH_SHARING * apart):
        return [packed_row([branch], 0, 0) for branch in branches]
    if not prefix and shared > ROW // 2 and together > ROW:
        return [_prefix_row(branches, shared)]
    room = LEAVES if prefix else ROW
    return [packed_row(some, shared, prefix) for some in _fill(branches, shared, room)]


def _fill(branches: Sequence[Branch], shared: int, room: int) -> list[list[Branch]]:
    """Branches in as few rows as `room` tokens each allow, of about one length, so that a batch has little padding."""
    rests = [len(branch.ids) - 1 - shared for branch in branches]
    count = min(len(branches), max(1, -(-sum(rests) // max(1, room - shared))))
    rows: list[list[Branch]] = [[] for _ in range(count)]
    loads = [(0, number) for number in range(count)]
    for branch in sorted(branches, key=lambda one: -len(one.ids)):
        used, number = heapq.heappop(loads)
        rows[number].append(branch)
        heapq.heappush(loads, (used + len(branch.ids), number))
    return rows


def packed_row(branches: Sequence[Branch], shared: int, prefix: int) -> Row:
    """A row of several branches behind a prefix."""
    ids = list(branches[0].ids[:shared])
    positions = list(range(prefix, prefix + shared))
    segments = [0] * shared
    members = []
    for number, branch in enumerate(branches, start=1):
        rest = branch.ids[shared:-1]
        path = np.concatenate((np.arange(shared), np.arange(len(ids), len(ids) + len(rest))))
        members.append(Member(branch, path))
        ids += rest
        positions += range(prefix + shared, prefix + shared + len(rest))
        segments += [number] * len(rest)
    return Row(np.array(ids), np.array(positions), np.array(segments), members)


def _prefix_row(branches: Sequence[Branch], shared: int) -> Row:
    """What all branches begin with, and the branches behind it."""
    behind = tuple(
        one._replace(ids=one.ids[shared:], start=one.start - shared, keep=one.keep - shared) for one in branches
    )
    ids = branches[0].ids[:shared]
    whole = Branch([*ids, 0], shared + 1, (), keep=shared, branches=behind)  # nothing of it is scored
    return Row(np.array(ids), np.arange(shared), np.zeros(shared, int), [Member(whole, np.arange(shared))])


def batches(rows: Sequence[Row], budget: int, prefix: int) -> Iterator[list[Row]]:
    """Rows of about one length and one kind, longest first, in batches of at most `budget` tokens with padding."""
    for packed in (False, True):
        kind = [row for row in rows if row.is_packed == packed]
        some: list[Row] = []
        width = 0
        for row in sorted(kind, key=lambda one: -len(one.ids)):
            width = max(width, len(row.ids))
            size = len(some) + 1
            if some and (size * width > budget or (packed and size * width * (width + prefix) > MASK)):
                yield some
                some, width = [], len(row.ids)
            some.append(row)
        if some:
            yield some


def flat(branches: Sequence[Branch]) -> list[Branch]:
    """The same branches, each from the beginning and without branches of its own."""
    alone: list[Branch] = []
    for one in branches:
        alone.append(one._replace(branches=()))
        for further in flat(one.branches):
            ids = one.ids[: one.keep] + further.ids
            alone.append(further._replace(ids=ids, start=further.start + one.keep))
    return alone


def sinks(branches: Sequence[Branch]) -> Iterator[tuple[int, ...]]:
    """The sinks of all branches and of those that go on from them."""
    for one in branches:
        yield one.sink
        yield from sinks(one.branches)
