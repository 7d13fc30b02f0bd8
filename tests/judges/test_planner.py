"""The planner of judges that compare: which pairs are asked. A judge says that it is asked about pairs."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Literal

import polars as pl
import pytest
from helpers import Counting, judge_all, recipe_of, table, wide, write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from pairwright.assets.judging.verdicts import choice_of, guides_first, judges_of, questions, response_scores
from pairwright.judges.base import Batch, Judge
from pairwright.judges.planner import GUIDE, PairPlan, circulant
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import prompt_id, response_id
from pairwright.schemas.recipe import Recipe


class Longer(Judge):
    """Says that the longer of two responses is better."""

    kind: Literal["test-longer"] = "test-longer"
    asks_about: ClassVar[Literal["response", "pair", "prompt"]] = "pair"
    by: str | None = None

    def pair_plan(self) -> PairPlan:
        return PairPlan("adjacent", guided_by=self.by) if self.by else PairPlan("all")

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        texts = work.responses.select("response_id", "text")
        rows = work.wanted
        for side in ("a", "b"):
            one = texts.rename({"response_id": f"response_{side}", "text": f"text_{side}"})
            rows = rows.join(one, on=f"response_{side}", how="left", maintain_order="left")
        wins = (pl.col("text_a").str.len_chars() > pl.col("text_b").str.len_chars()).cast(pl.Float64)
        keys = ("prompt_id", "response_a", "response_b")
        yield rows.select(*keys, criterion=pl.lit("longer"), p_a=wins, per_order=pl.concat_list(wins))


Recipe.model_rebuild(force=True)


@given(st.integers(1, 9), st.integers(1, 3), st.integers(0, 99))
def test_pairs_connect_all_and_stay_within_their_budget(count: int, per_response: int, seed: int) -> None:
    prompt = prompt_id([{"role": "user", "content": str(seed)}])
    ids = [response_id(prompt, str(i)) for i in range(count)]
    pairs = circulant(pl.DataFrame({"prompt_id": [prompt] * count, "response_id": ids}), seed, per_response)
    assert pairs.height <= per_response * count
    assert (pairs.get_column("response_a") < pairs.get_column("response_b")).all()
    reached, edges = {ids[0]}, pairs.select("response_a", "response_b").rows()
    for _ in range(count):
        reached |= {b for a, b in edges if a in reached} | {a for a, b in edges if b in reached}
    assert reached == set(ids)


def ids_of(prompt: str, count: int) -> pl.DataFrame:
    ids = sorted(response_id(prompt, str(number)) for number in range(count))
    return pl.DataFrame({"prompt_id": [prompt] * count, "response_id": ids})


def test_a_plan_tells_what_is_not_as_usual_and_no_seed() -> None:
    assert PairPlan(seed=5).told() == {}
    assert PairPlan(per_response=3).told() == {"pairs_per_response": 3}
    assert PairPlan("all", per_response=3).told() == {"pairs": "all"}
    assert PairPlan("adjacent", guided_by="look").told() == {"pairs": "adjacent"}


def test_a_plan_chooses_all_pairs_or_neighbours() -> None:
    responses = ids_of(prompt_id([{"role": "user", "content": "q"}]), 4)
    ids = responses.get_column("response_id").to_list()
    assert PairPlan("all").chosen(responses).select("response_a", "response_b").rows() == list(combinations(ids, 2))
    scored = responses.with_columns(pl.Series(GUIDE, [2.0, 4.0, None, 1.0]))
    found = PairPlan("adjacent").chosen(scored).select("response_a", "response_b").rows()
    assert found == sorted([(ids[0], ids[1]), (ids[0], ids[3]), (ids[2], ids[3])])


@pytest.mark.parametrize(("asks_about", "asked"), [("response", 4), ("prompt", 4), ("pair", 6)])
def test_what_a_judge_is_asked_about_says_what_its_questions_are(
    asks_about: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    responses = ids_of(prompt_id([{"role": "user", "content": "q"}]), 4)
    monkeypatch.setattr(Counting, "asks_about", asks_about)
    judge = Counting()
    found = questions(judge, responses)
    assert found.columns == judge.keys
    assert found.height == asked, "of pairs, two ahead of each in a circle of four: all"


def test_a_judge_of_pairs_is_one_class(tmp_path: Path) -> None:
    """Its comparisons become strengths, and it may go by another judge: nothing else has to know of it."""
    rows = [row | {"responses": ["a" * (3 * i + 1) for i in range(4)]} for row in wide(5)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    judges = [{"kind": "test-longer", "by": "look"}, {"name": "look", "kind": "length"}]
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=judges, shards=1)
    assert [judge.name for judge in guides_first(recipe)] == ["look", "test-longer"]
    longer, look = judges_of(recipe)
    assert choice_of(longer) == [{"pairs": "adjacent"}, [[look.fingerprint, {}]]]
    workspace = judge_all(recipe, tmp_path / "data")
    assert table(workspace, f"verdicts/test-longer-{longer.fingerprint}").height == 5 * 3
    (shard,) = workspace.each_shard()
    scores = response_scores(longer, workspace, shard).collect()
    sizes = table(workspace, "responses").select("response_id", size=pl.col("text").str.len_chars())
    ranks = scores.join(sizes, on="response_id").with_columns(
        by_score=pl.col("score").rank().over("prompt_id"), by_size=pl.col("size").rank().over("prompt_id")
    )
    assert ranks.get_column("by_score").equals(ranks.get_column("by_size"), check_names=False)
    with pytest.raises(RecipeError, match="goes by 'nobody', which is no other judge"):
        recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "test-longer", "by": "nobody"}])
