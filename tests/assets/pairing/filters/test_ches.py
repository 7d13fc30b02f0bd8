"""CHES of a real, if tiny, model: near-duplicates above distinct pairs, and what a share of real pairs keeps."""

import random
from typing import Literal

import numpy as np
import polars as pl
import pytest
from helpers import SHARED
from scipy.stats import bootstrap
from tiny_models import read_all, tiny, work

from pairwright.assets.pairing.filters.ches import Ches
from pairwright.assets.pairing.filters.difficulty import Difficulty, hardest, loss_threshold
from pairwright.assets.pairing.strategies.base import SIDES
from pairwright.models.local.engine import read
from pairwright.models.local.local import Local
from pairwright.models.local.request import PassRequest
from pairwright.pipelines.tiny import text
from pairwright.schemas.ids import prompt_id, response_id

NEED = PassRequest(tiny(), wants=frozenset({"hidden", "tokens"}))


def with_sides(pairs: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Pairs (prompt_id, chosen_id, rejected_id) with the model's rows of both sides."""
    for side in ("chosen", "rejected"):
        one = rows.select(
            "prompt_id", pl.col("response_id").alias(f"{side}_id"), pl.struct(pl.all()).alias(f"likelihood_{side}")
        )
        pairs = pairs.join(one, on=["prompt_id", f"{side}_id"], how="left", maintain_order="left")
    return pairs


def values(triples: list[tuple[str, str, str]], measure: str = "ln-ches") -> np.ndarray:
    """The filter's value of each (prompt, chosen, rejected)."""
    batch = work([(prompt, [chosen, rejected]) for prompt, chosen, rejected in triples])
    batch = batch._replace(
        prompts=batch.prompts.unique("prompt_id", maintain_order=True),
        responses=batch.responses.unique(maintain_order=True),
    )
    sides = []
    for prompt, chosen, rejected in triples:
        key = prompt_id([{"role": "user", "content": prompt}])
        sides.append((key, response_id(key, chosen), response_id(key, rejected)))
    pairs = pl.DataFrame(sides, schema=["prompt_id", "chosen_id", "rejected_id"], orient="row")
    return Ches(model=tiny(), measure=measure).value(with_sides(pairs, read_all(batch, NEED))).to_numpy()  # type: ignore[arg-type]


@pytest.mark.parametrize("measure", ["ln-ches", "ches", "edit-distance"])
def test_near_duplicates_are_more_alike_than_distinct_answers(measure: str):
    chance = random.Random(3)
    _, items = text.items()
    near, far = [], []
    for item in items[:60]:
        asked, good = text.question(chance, item), text.answer(chance, item)
        words = good.split()
        words[chance.randrange(len(words))] = "then"
        near.append((asked, good, " ".join(words)))
        far.append((asked, good, text.off_topic(chance, item, items)))
    wins = (values(near, measure) > values(far, measure)).astype(float)
    interval = bootstrap((wins,), np.mean, n_resamples=999, method="basic", rng=0).confidence_interval
    print(f"{measure}: {wins.mean():.3f} [{interval.low:.3f}, {interval.high:.3f}], n={len(wins)}")
    assert interval.low > 0.5


def test_a_share_of_the_persona_pairs():
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent")
    rows = pl.read_parquet(SHARED / "ches_persona.parquet").head(200)
    found = values([tuple(row) for row in rows.select("prompt", "chosen", "rejected").iter_rows()])
    assert np.isfinite(found).all()
    one = Ches(model=tiny(), keep_fraction=0.05)
    frame = pl.DataFrame({"pair_id": rows["id"], "value": found})
    cutoff = one.fit(frame)
    kept = frame.filter(frame.select(one.kept(pl.col("value"), cutoff)).to_series())
    assert kept.height == 10 and kept["value"].max() <= np.sort(found)[10]


def test_pairs_that_the_model_could_not_read_are_unknown_not_alike():
    short = tiny(max_tokens=40)
    texts = ["good one", "quite other words", "long " * 60]
    rows = pl.concat(read(work({"Hi": texts}), PassRequest(short, wants=frozenset({"hidden"})), Local.load(short)))
    ids = dict(rows.select(pl.col("failure").is_not_null(), "response_id").iter_rows())
    assert set(ids) == {True, False}, "one of them does not fit"
    readable = rows.filter(pl.col("failure").is_null())["response_id"].to_list()
    sides = [(readable[0], readable[1]), (readable[0], ids[True])]
    pairs = pl.DataFrame([(rows["prompt_id"][0], *one) for one in sides], schema=SIDES, orient="row")
    outcomes: tuple[Literal["keep", "drop"], ...] = ("keep", "drop")
    for unknown in outcomes:
        one = Ches(model=short, maximum=1e9, unknown=unknown)
        values = one.values(with_sides(pairs, rows))
        assert [value is None for value in values] == [False, True]
        assert pl.select(one.kept(pl.lit(values), None)).to_series().to_list() == [True, unknown == "keep"]


def test_difficulty_and_its_loss_threshold():
    rows = read_all(work({"Hi": ["good one", "b"]}), NEED)
    ids = sorted(rows["response_id"])
    pairs = pl.DataFrame({"prompt_id": [rows["prompt_id"][0]], "chosen_id": [ids[0]], "rejected_id": [ids[1]]})
    value = Difficulty(model=tiny()).value(with_sides(pairs, rows))[0]
    sums = dict(rows.select("response_id", pl.col("logprob") + pl.col("end_logprob")).iter_rows())
    assert value == pytest.approx(sums[ids[1]] - sums[ids[0]])
    assert loss_threshold(0.0, 0.1) == pytest.approx(np.log(2))
    assert loss_threshold(-800.0, 10) == pytest.approx(8000)
    for c in (-3.0, 0.5, 20.0):
        assert hardest(loss_threshold(c, 0.1), 0.1) == pytest.approx(c)
    assert hardest(1000, 0.1) == pytest.approx(-10_000), "a loss beyond what exp can hold"
    assert Difficulty(model=tiny(), minimum_loss=np.log(2), maximum=5).bounds().maximum == pytest.approx(0)
