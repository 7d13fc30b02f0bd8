"""Sources at random: whatever a file holds and whatever its columns are called, the outcome is a right table or one
line that says what is wrong.
"""

import datetime
import decimal
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import recipe_of, table

from pairwright.assets.intake.source import take_in
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.ids import prompt_id, response_id

NAMES = (
    *("_row", "row", "bad", "origin", "prompt_id", "response_id", "variant", "answer", "answers", "part", "excerpt"),
    *("text", "steps!", "*", "^.*$", "^prompt$", "", " ", ".", "a.b", "a.", "prompt.x", "a\nb", "a\x00b", "0", "1"),
    *("literal", "messages!", "_references", "_shard", "é", "\u202e", "x" * 300, "{}", "[0]", "$", "len", "index"),
)
"""Names that are other people's columns and ours inside, and those that libraries take for something else."""


def outcome(folder: Path, name: str, columns: dict[str, Any]) -> Workspace | None:
    """The workspace; None where the source was refused in one line."""
    recipe = recipe_of(
        folder, "unused", judges=[{"kind": "length"}], shards=1, prompts={"source": name, "columns": columns}
    )
    workspace = Workspace.of(recipe, folder / "data")
    try:
        take_in(recipe, workspace)
    except PairwrightError as problem:
        assert str(problem) and "\n" not in str(problem)
        return None
    return workspace


def odd_columns(rng: random.Random, rows: int) -> list[tuple[str, Any]]:
    """Columns of types that no text comes in."""
    now = datetime.datetime(2020, 1, 1)
    makers: list[Callable[[], Any]] = [
        lambda: pa.array([decimal.Decimal("1.5")] * rows, pa.decimal128(38, 10)),
        lambda: pa.array([decimal.Decimal("1.5")] * rows, pa.decimal256(60, 10)),
        lambda: pa.array([now] * rows, pa.timestamp("us", rng.choice(["Mars/Olympus", "+25:99", "UTC", ""]))),
        lambda: pa.array([2**62] * rows, pa.timestamp("s")),
        lambda: pa.array([-(2**62)] * rows, pa.timestamp("ms")),
        lambda: pa.array([2**31 - 1] * rows, pa.date32()),
        lambda: pa.array([2**60] * rows, pa.duration("s")),
        lambda: pa.array([1] * rows, pa.time64("ns")),
        lambda: pa.array([b"\xff\xfe"] * rows, rng.choice([pa.binary(), pa.large_binary(), pa.binary(2)])),
        lambda: pa.array([[("k", 1)]] * rows, pa.map_(pa.string(), pa.int32())),
        lambda: pa.array([{}] * rows, pa.struct([])),
        lambda: pa.array([{"a": {"b": [1]}}] * rows),
        lambda: pa.array(["x"] * rows).dictionary_encode(),
        lambda: pa.array([1.5] * rows).dictionary_encode(),
        lambda: pa.array([1.0] * rows, pa.float16()),
        lambda: pa.nulls(rows),
        lambda: broken(rows),
        lambda: pa.array([["x"] * 2] * rows, pa.list_(pa.string(), 2)),
        lambda: deep(rows, rng.choice([3, 20, 40])),
        lambda: pa.array([True, None][: rows and 1] * rows),
    ]
    return [(rng.choice(NAMES), rng.choice(makers)()) for _ in range(rng.randint(1, 3))]


def broken(rows: int) -> pa.Array:
    """Texts whose bytes are no UTF-8, which Arrow does not look at."""
    offsets = pa.array(range(rows + 1), pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.string(), rows, [None, offsets, pa.py_buffer(b"\xff" * rows)])


def deep(rows: int, levels: int) -> pa.Array:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return pa.array([value] * rows)


def good_columns(rng: random.Random, rows: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Prompts and responses under names of the kind above, and the map that finds them."""
    prompt, response = rng.sample(NAMES[:-1], 2)
    content = {prompt: [f"q{i}" for i in range(rows)], response: [f"a{i}" for i in range(rows)]}
    return content, {"prompt": prompt, "response": response}


def right(workspace: Workspace, content: dict[str, Any], columns: dict[str, str]) -> None:
    """Every row of a good file came in, under the ids of its content."""
    pairs = zip(content[columns["prompt"]], content[columns["response"]], strict=True)
    keys = [(prompt_id([{"role": "user", "content": prompt}]), text) for prompt, text in pairs]
    assert pl.read_parquet(workspace.root / "rejects.parquet").is_empty()
    found = table(workspace, "responses").select("prompt_id", "response_id").rows()
    assert sorted(found) == sorted((key, response_id(key, text)) for key, text in keys)


def parquet(folder: Path, rng: random.Random) -> None:
    rows = rng.randint(1, 4)
    content, columns = good_columns(rng, rows)
    odd = odd_columns(rng, rows)
    used = rng.random() < 0.3
    if used:
        columns[rng.choice(["references", "domain", "system", "tags", "split", "prompt", "response"])] = odd[0][0]
    names = [*content, *(name for name, _ in odd)]
    arrays = [*map(pa.array, content.values()), *(array for _, array in odd)]
    order = rng.sample(range(len(names)), len(names))
    made = pa.Table.from_arrays([arrays[i] for i in order], names=[names[i] for i in order])
    try:
        pq.write_table(made, folder / "a.parquet")
    except pa.ArrowException:  # a type that Parquet does not have
        return
    empty = any(not name for name in columns.values())  # an empty name takes no column
    workspace = outcome(folder, "a.parquet", columns)
    if not used and not empty and len(set(names)) == len(names):
        assert workspace is not None, (names, [str(array.type) for _, array in odd])
        right(workspace, content, columns)


def json_lines(folder: Path, rng: random.Random) -> None:
    content, columns = good_columns(rng, rng.randint(1, 4))
    empty = any(not name for name in columns.values())
    lines = [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    odd = rng.choice(
        [None, 0, -1.5, 10**30, True, {}, [[]], {"a": "\n"}, "\n", "\x00", "x" * 400, nested(rng.choice([300, 900]))]
    )
    where = rng.choice([*NAMES, "references", "domain", "split", "system", "tags", "policy"])
    harmless = where in NAMES and where not in content
    for line in lines:
        line.setdefault(where, odd)
        if not harmless:
            line[where] = odd
    if rng.random() < 0.3:
        lines[0] = {"messages": [{"role": rng.choice(["user", "\n", "tool"]), "content": odd}], where: odd}
        harmless = False
    (folder / "a.jsonl").write_bytes(b"\n".join(json.dumps(line).encode() for line in lines))
    workspace = outcome(folder, "a.jsonl", columns)
    if harmless and not empty:
        assert workspace is not None, where
        right(workspace, content, columns)


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = [value]
    return value


def comma_separated(folder: Path, rng: random.Random) -> None:
    letters = ["a", "q", ",", '"', "\n", "\r", "\r\n", "\x00", "é", "\ufeff", "prompt", "response", ";", "\udcff"]
    text = "".join(rng.choice(letters) for _ in range(rng.randint(0, 30)))
    (folder / "a.csv").write_bytes(("prompt,response\nq,a\n" + text).encode(errors="surrogateescape"))
    outcome(folder, "a.csv", {})
    (folder / "b.csv").write_bytes((text + "\nq,a\n").encode(errors="surrogateescape"))
    outcome(folder, "b.csv", {"prompt": rng.choice(["prompt", "a", "q"])})


def damaged(folder: Path, rng: random.Random) -> None:
    """Bytes of a good file turned: whatever it is now, the process lives and says one line."""
    kinds: list[Any] = ["none", "snappy", "zstd"]
    content = pa.table({"prompt": [f"q{i}" for i in range(40)], "response": [["a", "b"]] * 40})
    pq.write_table(content, folder / "a.parquet", compression=rng.choice(kinds))
    data = bytearray((folder / "a.parquet").read_bytes())
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    (folder / "a.parquet").write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
    outcome(folder, "a.parquet", {"responses": "response"})


KINDS = {
    "parquet": (parquet, 60),
    "json lines": (json_lines, 60),
    "csv": (comma_separated, 30),
    "damaged": (damaged, 40),
}


def drill(kind: str, first: int, count: int) -> None:
    make, _ = KINDS[kind]
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                make(Path(folder), random.Random(seed))
            except BaseException as problem:
                problem.add_note(f"{kind}, seed {seed}")
                raise


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_at_random_is_a_right_table_or_one_line(kind: str) -> None:
    drill(kind, 0, KINDS[kind][1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_sources_at_random(kind: str) -> None:
    drill(kind, 10_000, 2_000)
