"""What the judges make of replies: scores, ties, N/A, votes, log-probs, scores from comparisons, and the audit."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import build, recipe_of, wide, write_jsonl
from hypothesis import assume, given
from hypothesis import strategies as st
from replay_server import SHOWN, App, Settings, serving

from pairwright.assets.judging.audit import audit
from pairwright.assets.judging.judge import verdicts_table
from pairwright.assets.pairing.prefer import judges_of, response_scores
from pairwright.assets.storage.store import Workspace
from pairwright.judges.llm.base import Ask, Prompt
from pairwright.judges.llm.parse import rating
from pairwright.judges.llm.weigh import probabilities
from pairwright.judges.llm_listwise import LlmListwise
from pairwright.judges.llm_pairwise import LlmPairwise
from pairwright.judges.llm_rating import LlmRating
from pairwright.models.serving.rate_limit import Gate, PerMinute
from pairwright.models.serving.reply import Choice, Token, UnusableError
from pairwright.schemas.descriptions import described
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import response_id


def judged(
    folder: Path, answer: Any, judge: dict[str, Any], prompts: int = 4
) -> tuple[pl.DataFrame, pl.DataFrame, list[Any]]:
    """Verdict rows, scores per response and audit of one judge whose server answers by `answer`."""
    write_jsonl(folder / "rows.jsonl", wide(prompts))
    with serving(App(Settings(), answer)) as url:
        asked = {"model": "m", "base_url": url, "max_failure_share": 1, **judge}
        weights = {"length": 1}  # so that there are pairs, whatever the judge says
        recipe = recipe_of(
            folder, "rows.jsonl", judges=[asked, {"kind": "length"}], jury={"weights": weights}, shards=1
        )
        build(recipe, folder / "data")
    workspace = Workspace.of(recipe, folder / "data")
    (shard,) = workspace.each_shard()
    one = judges_of(recipe)[0]
    path = workspace.file(verdicts_table(one), shard)
    return pl.read_parquet(path), response_scores(one, workspace, shard).collect(), audit(one, workspace, [path])


def share(figures: list[Any], name: str) -> float:
    return next(one.share for one in figures if one.name == name)


def test_a_judge_that_always_takes_the_first_says_nothing(tmp_path: Path) -> None:
    rows, scores, figures = judged(tmp_path, lambda _: '{"rationale": "r", "verdict": "A"}', {"kind": "llm-pairwise"})
    assert rows.get_column("p_a").unique().to_list() == [0.5]
    assert rows.get_column("per_order").to_list() == [[1.0, 0.0]] * rows.height
    assert scores.get_column("score").to_list() == pytest.approx([0.0] * scores.height)
    assert (share(figures, "flips between orders"), share(figures, "first shown wins")) == (1.0, 1.0)


def test_a_judge_that_prefers_length_is_found_out(tmp_path: Path) -> None:
    def longer(body: dict[str, Any]) -> str:
        (_, _, a), (_, _, b) = SHOWN.findall(body["messages"][-1]["content"])
        return json.dumps({"rationale": "r", "verdict": "A" if len(a) > len(b) else "B" if len(b) > len(a) else "tie"})

    _, scores, figures = judged(tmp_path, longer, {"kind": "llm-pairwise", "pairs": "all"})
    assert share(figures, "longer wins") == 1.0
    assert share(figures, "flips between orders") == 0.0
    assert scores.get_column("score").null_count() == 0


def test_not_applicable_is_no_failure_and_no_vote(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> str:
        honest = "one aspect only: honesty" in body["messages"][-1]["content"]
        return json.dumps({"rationale": "r", "rating": "N/A" if honest else 4})

    judge = {"kind": "llm-rating", "aspects": ["helpfulness", "honesty"]}
    rows, scores, figures = judged(tmp_path, answer, judge)
    assert scores.get_column("score").unique().to_list() == [4.0]
    assert rows.filter(criterion="honesty").get_column("failure").unique().to_list() == ["not applicable"]
    assert share(figures, "failures") == 0.0
    assert share(figures, "not applicable") == 0.5


def test_votes_keep_their_agreement(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> str:
        return json.dumps({"rationale": "r", "rating": 2 if body["seed"] >= 2000 else 5})

    judge = {"kind": "llm-rating", "aspects": ["helpfulness"], "votes": 3, "temperature": 1.0}
    rows, scores, _ = judged(tmp_path, answer, judge)
    assert scores.get_column("score").unique().to_list() == [4.0]
    assert rows.get_column("confidence").unique().to_list() == pytest.approx([2 / 3])


def test_all_in_one_call_and_own_template(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("Rate:\n{% for r in responses %}{{ r.label }}: {{ r.text }}\n{% endfor %}")
    seen = []

    def answer(body: dict[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        seen.append(text)
        labels = [line[0] for line in text.splitlines()[1:]]
        return json.dumps({"ratings": [{"response": one, "rationale": "r", "rating": 3} for one in labels]})

    judge = {"kind": "llm-rating", "aspects": [{"name": "style", "rubric": "How it reads."}], "per_call": "all"}
    rows, _, _ = judged(tmp_path, answer, {**judge, "template": "mine.jinja"})
    assert len(seen) == 4
    assert rows.get_column("score").to_list() == [3.0] * 16


def test_the_fingerprint_is_of_content_alone(tmp_path: Path) -> None:
    base = {"kind": "llm-pairwise", "model": "m"}
    same = [{"base_url": "http://127.0.0.1:1/v1"}, {"api_key_env": "X"}, {"concurrency": 3}, {"rpm": 5}, {"name": "n"}]
    other = [{"system": "s"}, {"temperature": 0.5}, {"model": "o"}, {"criteria": {"default": "c"}}, {"revision": "2"}]
    (tmp_path / "t.jinja").write_text("{{ mark }}")
    other.append({"template": str(tmp_path / "t.jinja")})
    print_of = [LlmPairwise.model_validate({**base, **one}).fingerprint for one in [{}, *same]]
    assert len(set(print_of)) == 1
    assert len({LlmPairwise.model_validate({**base, **one}).fingerprint for one in [{}, *other]}) == 1 + len(other)


@pytest.mark.parametrize(
    "value", [0, 6, 45, -1, "45", "high", None, True, float("nan"), [3], {"rating": 3}, "3 or 4", ""]
)
def test_what_is_off_the_scale_is_a_failure(value: Any) -> None:
    with pytest.raises(UnusableError):
        rating(value, "rating", 1, 5, not_applicable=False)


def test_probabilities_come_from_the_token_of_the_verdict() -> None:
    text = '{"rationale": "A or B", "verdict": "A"}'
    tokens = [Token(text[:-3], -0.1, {}), Token("A", -0.5, {"A": -0.5, "B": -1.0, "C": -5.0}), Token('"}', 0.0, {})]
    found = probabilities(Choice(text, "stop", tokens), "verdict", ["A", "B"])
    assert found is not None
    assert found["A"] == pytest.approx(0.6225, abs=1e-3)
    assert probabilities(Choice(text, "stop", tokens), "verdict", ["1", "10"]) is None
    doubtful = [tokens[0], Token("A", -3.0, {"A": -3.0, "x": -0.1}), tokens[2]]
    assert probabilities(Choice(text, "stop", doubtful), "verdict", ["A", "B"]) is None


TEN = [str(one) for one in range(1, 11)]
HUNDRED = [str(one) for one in range(1, 101)]


def steps(*tops: dict[str, float]) -> Choice:
    """An answer whose rating is written by the first alternative of each step; the rest is sure."""
    tokens = [Token('{"rating":', 0.0, {}), Token(" ", 0.0, {})]
    for top in tops:
        logs = {text: math.log(share) for text, share in top.items()}
        tokens.append(Token(next(iter(logs)), next(iter(logs.values())), logs))
    return Choice("".join(token.text for token in tokens), "stop", tokens)


@pytest.mark.parametrize(
    ("values", "tops", "expected"),
    [
        (TEN, [{"8": 0.6, "10": 0.3, "9": 0.1}, {"}": 1.0}], {"8": 0.6, "10": 0.3, "9": 0.1}),
        (TEN, [{"1": 0.6, "9": 0.4}, {"0": 0.75, "}": 0.25}, {"}": 1.0}], {"10": 0.45, "1": 0.15, "9": 0.4}),
        (TEN, [{"1": 0.6, "9": 0.4}, {"}": 0.5, "0}": 0.5}], {"10": 0.3, "1": 0.3, "9": 0.4}),
        (TEN, [{"7": 0.8, "1": 0.2}, {"}": 1.0}], {"7": 1.0}),
        (HUNDRED, [{"8": 0.7, "9": 0.3}, {"5": 0.5, "0": 0.3, "}": 0.2}, {"}": 1}], {"85": 0.5, "80": 0.3, "8": 0.2}),
        (HUNDRED, [{"1": 1.0}, {"0": 1.0}, {"0": 0.5, "}": 0.5}], {"100": 0.5, "10": 0.5}),
        (HUNDRED, [{"85": 0.5, "90": 0.3, "100": 0.1, "x": 0.1}], {"85": 5 / 9, "90": 3 / 9, "100": 1 / 9}),
        (["A", "B", "tie"], [{"A": 0.5, "t": 0.25, "B": 0.25}], {"A": 0.5, "tie": 0.25, "B": 0.25}),
        (["A", "B", "tie"], [{"t": 0.5, "A": 0.5}, {"ie": 1.0}, {'"}': 1.0}], {"tie": 0.5, "A": 0.5}),
    ],
)  # fmt: skip
def test_labels_of_several_tokens_are_weighed_along_their_paths(
    values: list[str], tops: list[dict[str, float]], expected: dict[str, float]
) -> None:
    found = probabilities(steps(*tops), "rating", values)
    assert found is not None
    assert {one: share for one, share in found.items() if share} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "tops"),
    [
        (HUNDRED, [{"4": 0.4, "9": 0.3, "8": 0.3}, {"0": 1.0}, {"}": 1.0}]),
        (TEN, [{"1": 0.6, "9": 0.4}, {"5": 1.0}, {"}": 1.0}]),
        (TEN, [{"4": 0.3, "x": 0.7}]),
        (TEN, []),
    ],
    ids=["too little is seen", "no label is written", "something else is likelier", "cut off"],
)
def test_where_too_little_is_seen_the_written_verdict_stands(values: list[str], tops: list[dict[str, float]]) -> None:
    assert probabilities(steps(*tops), "rating", values) is None


@given(st.lists(st.floats(0.01, 1.0), min_size=100, max_size=100), st.integers(1, 100))
def test_digit_by_digit_the_written_branch_is_weighed_exactly(weights: list[float], written: int) -> None:
    """A model that writes digit by digit: within the branch that is seen, shares are the model's own."""
    mass = {str(one + 1): weight for one, weight in enumerate(weights)}

    def branch(begun: str) -> float:
        return sum(share for text, share in mass.items() if text.startswith(begun))

    tops, begun = [], ""
    for character in [*str(written), "}"]:
        options = {digit: branch(begun + digit) for digit in "0123456789"} | {"}": mass.get(begun, 0.0)}
        total = sum(options.values())
        ordered = {character: options[character], **options}
        tops.append({text: share / total for text, share in ordered.items() if share})
        begun += character
    found = probabilities(steps(*tops), "rating", HUNDRED)
    first = str(written)[0]
    seen = branch(first) / branch("")
    assume(abs(seen - 0.5) > 1e-9)  # at the limit, rounding decides
    if seen < 0.5:
        assert found is None
        return
    assert found is not None
    assert all(one.startswith(first) for one, share in found.items() if share)
    for one, share in found.items():
        assert not share or share / found[str(written)] == pytest.approx(mass[one] / mass[str(written)])


def test_a_scale_to_ten_is_weighed_by_a_judge(tmp_path: Path) -> None:
    judge = LlmRating.model_validate({"kind": "llm-rating", "model": "m", "scale": [1, 10], "logprobs": True})
    choice = steps({"8": 0.5, "10": 0.5}, {"}": 1.0})
    (found,) = judge.read(Prompt("p", [], [], None, {"1": ""}), Ask(["1"], "helpfulness", 0), choice).values()
    assert found.value == pytest.approx(9.0)
    plain = judge.model_copy(update={"logprobs": False})
    assert plain.fingerprint != judge.fingerprint
    (found,) = plain.read(Prompt("p", [], [], None, {"1": ""}), Ask(["1"], "helpfulness", 0), choice).values()
    assert found.value == 8.0


def test_the_gate_gives_way_once_a_round_and_recovers() -> None:
    gate = Gate(64)
    for _ in range(10):
        gate.pushed_back(1e-9 if gate.limit == 64 else 0.0)
    assert gate.limit == 32
    for _ in range(40):
        gate.went_well()
    assert 33 <= gate.limit <= 34
    for _ in range(5000):
        gate.went_well()
    assert gate.limit == 64


def test_a_minute_holds_no_more_than_its_limit() -> None:
    now = [0.0]
    bucket = PerMinute(60, clock=lambda: now[0])
    waits = [bucket.delay(1) for _ in range(30)]
    assert waits[:6] == [0.0] * 6
    assert waits[-1] == pytest.approx(24.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"votes": 3}, "temperature"),
        ({"api_key_env": "sk-123 456"}, "api_key_env"),
        ({"modle": "m"}, "did you mean 'model'"),
        ({"template": "no.jinja"}, "no.jinja"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(1))
    with pytest.raises(RecipeError, match=message):
        made = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "llm-pairwise", "model": "m", **options}])
        _ = judges_of(made)[0].fingerprint


def test_an_even_rating_scale_is_checked() -> None:
    with pytest.raises(ValueError, match="worst"):
        LlmRating.model_validate({"kind": "llm-rating", "model": "m", "scale": [5, 1]})


@pytest.mark.parametrize("count", [2, 5])
def test_a_list_in_an_answer_has_its_length_in_the_schema(count: int) -> None:
    ids = [response_id("p" * 24, str(i)) for i in range(count)]
    prompt = Prompt("p" * 24, [{"role": "user", "content": "q"}], [], None, {one: f"answer {one}" for one in ids})
    ranking = LlmListwise.model_validate({"model": "m"}).chat(prompt, Ask(ids, "list-0", 0))[1]["properties"]["ranking"]
    rating = LlmRating.model_validate({"model": "m", "per_call": "all"})
    ratings = rating.chat(prompt, Ask(ids, "helpfulness", 0))[1]["properties"]["ratings"]
    for schema in (ranking, ratings):
        assert (schema["minItems"], schema["maxItems"]) == (count, count)
        assert "uniqueItems" not in schema, "which OpenAI's strict schemas and xgrammar do not know"


@pytest.mark.parametrize(
    ("kind", "options", "known"),
    [
        (LlmPairwise, {}, "af97a61abea1c9ea"),
        (LlmPairwise, {"logprobs": True}, "6cab49da54d7a56d"),
        (LlmPairwise, {"votes": 2, "temperature": 1.0}, "7e8fbf7dd886508c"),
        (LlmRating, {}, "48417dfbee588018"),
        (LlmRating, {"logprobs": True}, "ef9cb875ee36aee5"),
        (LlmListwise, {}, "3472b94a4ce5623c"),
        (LlmListwise, {"votes": 2, "temperature": 1.0}, "357e08a633b40486"),
    ],
)
def test_seeds_schemas_and_reading_are_no_part_of_the_fingerprint(
    kind: Any, options: dict[str, Any], known: str
) -> None:
    assert kind.model_validate({"model": "m", **options}).fingerprint == known, "what was paid for stays valid"


def test_behind_a_grammars_mask_the_labels_have_all_of_the_probability() -> None:
    """A model that would rather refuse: free, its verdict is not weighed; masked, nothing shows that it would."""
    free = {"A": 0.02, "B": 0.01, "I": 0.97}
    masked = {label: share / 0.03 for label, share in free.items() if label != "I"}
    assert probabilities(steps(free), "rating", ["A", "B"]) is None
    assert probabilities(steps(masked), "rating", ["A", "B"]) == pytest.approx({"A": 2 / 3, "B": 1 / 3})
    told = " ".join(described(LlmPairwise)["logprobs"].split())
    assert "after the schema's mask" in told, "so the option says what it cannot show"
