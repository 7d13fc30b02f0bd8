"""A stage is made anew just when something that it declared has changed, and cannot read what it did not declare."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pairwright.assets.stages.basis import Input, Inputs
from pairwright.assets.stages.stage import Derived
from pairwright.assets.storage.store import Shard, Workspace, read_table, write
from pairwright.schemas.errors import StoreError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two shards of a table `texts`, and another one beside it."""
    made = Workspace(tmp_path, "d", 2)
    for shard in made.each_shard():
        for table in ("texts", "other"):
            write(pl.DataFrame({"text": ["a", "bb"]}), made.file(table, shard), {"version": f"{table}-1"})
    return made


def lengths(calls: list[int | None], inputs: Inputs) -> pl.DataFrame:
    calls.append(inputs.shard.index)
    return read_table(inputs.file("texts", inputs.shard)).select(length=pl.col("text").str.len_chars())


def most(calls: list[int | None], inputs: Inputs) -> pl.DataFrame:
    calls.append(None)
    return pl.concat([read_table(path) for path in inputs.files("lengths")]).max()


def test_it_is_made_when_an_input_an_option_or_the_code_is_another(workspace: Workspace) -> None:
    calls: list[int | None] = []

    def stage(**changes: Any) -> Derived:
        told = {"options": {"a": 1}, "code": 1, **changes}
        return Derived(name="lengths", table="lengths", inputs=(Input("texts"),), make=partial(lengths, calls), **told)

    assert not stage().is_current(workspace)
    assert (stage().bring_up(workspace).files, stage().bring_up(workspace).files) == (2, 0)
    assert stage().is_current(workspace)
    write(pl.DataFrame({"text": ["ccc"]}), workspace.file("texts", Shard(1, 2)), {"version": "texts-2"})
    write(pl.DataFrame({"text": ["ccc"]}), workspace.file("other", Shard(0, 2)), {"version": "other-2"})
    assert not stage().is_current(workspace)
    assert stage().bring_up(workspace).files == 1
    assert stage(options={"a": 2}).bring_up(workspace).files == 2
    assert stage(options={"a": 2}, code=2).bring_up(workspace, [Shard(0, 2)]).files == 1
    assert calls == [0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"garbage" * 99, b"PAR1" + b"\0" * 99 + b"PAR1"])
def test_whatever_lies_in_its_place_is_made_again(workspace: Workspace, content: bytes) -> None:
    stage = Derived(name="lengths", table="lengths", inputs=(Input("texts"),), make=partial(lengths, []))
    path = workspace.file("lengths", Shard(0, 2))
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert (stage.bring_up(workspace).files, stage.bring_up(workspace).files) == (2, 0)
    assert read_table(path).get_column("length").to_list() == [1, 2]


def test_a_fit_that_comes_out_the_same_moves_nothing_after_it(workspace: Workspace) -> None:
    calls: list[int | None] = []
    every = (Input("lengths", every_shard=True),)
    sharded = Derived(name="lengths", table="lengths", inputs=(Input("texts"),), make=partial(lengths, []))
    fit = Derived(name="most", table="most", fit=True, inputs=every, make=partial(most, calls))

    def scaled(inputs: Inputs) -> pl.DataFrame:
        greatest = read_table(inputs.fit_file("most")).item()
        return read_table(inputs.file("lengths", inputs.shard)) / greatest

    after = Derived(name="scaled", table="scaled", inputs=(Input("lengths"), Input("most", fit=True)), make=scaled)
    for stage in (sharded, fit, after):
        stage.bring_up(workspace)
    write(pl.DataFrame({"text": ["d"]}), workspace.file("texts", Shard(1, 2)), {"version": "texts-2"})
    assert [stage.bring_up(workspace).files for stage in (sharded, fit, after)] == [1, 1, 1], "the other shard stays"
    assert calls == [None, None]


@pytest.mark.parametrize(
    "reads",
    [
        lambda inputs: inputs.file("other", inputs.shard),
        lambda inputs: inputs.file("texts", Shard(1 - inputs.shard.index, 2)),
        lambda inputs: inputs.files("texts"),
        lambda inputs: inputs.fit_file("texts"),
        lambda inputs: inputs.root / "texts",
        lambda inputs: inputs.releases,
    ],
)
def test_what_it_did_not_declare_cannot_be_read(workspace: Workspace, reads: Callable[[Inputs], Any]) -> None:
    def make(inputs: Inputs) -> pl.DataFrame:
        reads(inputs)
        return pl.DataFrame()

    stage = Derived(name="nosy", table="nosy", inputs=(Input("texts"),), make=make)
    with pytest.raises(LookupError, match="stage nosy"):
        stage.bring_up(workspace)


def test_an_input_that_is_missing_is_told(workspace: Workspace) -> None:
    stage = Derived(name="lengths", table="lengths", inputs=(Input("gone"),), make=partial(lengths, []))
    with pytest.raises(StoreError, match="`pairwright build` makes it"):
        stage.bring_up(workspace)
