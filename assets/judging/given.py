"""The stage of verdicts that sources came with."""

from functools import partial

import polars as pl

from pairwright.assets.judging.verdicts import KEY, verdicts_table
from pairwright.assets.stages.basis import Basis, Input, Inputs
from pairwright.assets.storage.store import read_table
from pairwright.judges.given import Given
from pairwright.schemas.tables import check

CODE = 1
"""Raised when the same labels and scores would make other verdicts."""


def given_basis(judge: Given) -> Basis:
    """What such verdicts follow from."""
    return Basis(
        name=f"verdicts/{judge.name}",
        table=verdicts_table(judge),
        inputs=(Input(judge.given_table), Input("responses")),
        code=f"{judge.fingerprint}-{CODE}",
    )


def given_verdicts(judge: Given, inputs: Inputs) -> pl.DataFrame:
    """A shard's verdicts."""
    said = read_table(inputs.file(judge.given_table, inputs.shard))
    responses = read_table(inputs.file("responses", inputs.shard), columns=KEY)
    return check(judge.verdicts(said, responses), judge.table)


def given_making(judge: Given) -> partial[pl.DataFrame]:
    """What makes them."""
    return partial(given_verdicts, judge)
