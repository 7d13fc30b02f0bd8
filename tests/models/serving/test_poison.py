"""Whatever JSON a server sends: reading it yields a value or its own refusal, and the build goes on, now and later."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import judge_all, recipe_of, table, wide, write_jsonl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_server import App, Settings, judge_by_hash, serving

from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.sampling.policies.served import read
from pairwright.judges.llm.parse import read_choice, read_order, read_rating, read_ratings
from pairwright.judges.llm.weigh import probabilities
from pairwright.models.serving.answers import text_in
from pairwright.models.serving.batch_server import results
from pairwright.models.serving.reply import UnusableError, answer_of, echoed_of, usage_of

HUGE, LONGER = "9" * 400, "9" * 5000
ODD = ["NaN", "-Infinity", "1e999", "-1e400", "1000", "1e308", "true", "null", "-1", "1.5", HUGE, LONGER, '"x"',
       '"NaN"', "[]", "{}", "[" * 900 + "]" * 900, '{"a":' * 400 + "1" + "}" * 400, '"\\ud800"', '"\\u0000"', '""',
       "4294967296", "[[]]", '{"token": 3}', "-0.0", "18446744073709551616"]  # fmt: skip
"""Values, as JSON spells them, to stand where others are expected."""


def token(text: str) -> dict[str, Any]:
    return {"token": text, "logprob": -0.1, "top_logprobs": [{"token": text, "logprob": -0.1}]}


def envelope(choice: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return {"id": "x", "choices": [{"index": 0, "finish_reason": "stop", **choice}], "usage": usage}


SAID = {
    "rationale": "r",
    "verdict": "A",
    "rating": 4,
    "ratings": [{"response": "A", "rating": 4}],
    "ranking": ["A", "B"],
}
WRITTEN = json.dumps(SAID)
CHAT = envelope({"message": {"content": WRITTEN}, "logprobs": {"content": [token(one) for one in WRITTEN.split(" ")]}})
COMPLETION = envelope({"text": " so be it", "logprobs": {"tokens": [" so"], "token_logprobs": [-0.5]}})
ECHO = envelope({"text": "a b c", "logprobs": {"tokens": ["a", "b", "c"], "token_logprobs": [None, -0.5, -2.0]}})
LINE = {"custom_id": "k-0", "response": {"status_code": 200, "body": COMPLETION}, "error": None}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where values stand in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in places(one, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, good: Any) -> str:
    """The JSON of a good reply with up to three values replaced by odd ones, spelt as a server may spell them."""
    value = json.loads(json.dumps(good))
    marks = {}
    for number in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        mark = f"@{number}@"
        marks[f'"{mark}"'] = draw(
            st.sampled_from(ODD) | st.recursive(st.integers() | st.text(), st.lists).map(json.dumps)
        )
        if not path:
            value = mark
        else:
            parent = value
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = mark
    text = json.dumps(value)
    for mark, odd in marks.items():
        text = text.replace(mark, odd)
    return text


READERS: list[Callable[[str], Any]] = [
    answer_of,
    usage_of,
    text_in,
    lambda body: read(body, 1),
    lambda body: read(body, 3),
    lambda body: echoed_of(body, 3),
    lambda body: probabilities(answer_of(body), "verdict", ["A", "B"]),
    lambda body: probabilities(answer_of(body), "rating", ["1", "2", "3", "4", "5"]),
]
TEXT_READERS: list[Callable[[str], Any]] = [
    lambda text: read_choice(text, "verdict", ["A", "B"]),
    lambda text: read_rating(text, "rating", 1, 5, False),
    lambda text: read_ratings(text, ["A"], 1, 5, True),
    lambda text: read_order(text, ["A", "B"]),
]


def never_breaks(readers: list[Callable[[str], Any]], text: str) -> None:
    for one in readers:
        try:
            one(text)
        except UnusableError as problem:
            assert 0 < len(str(problem)) <= 500
            str(problem).encode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated(CHAT) | mutated(COMPLETION) | mutated(ECHO) | st.text())
def test_a_reply_of_any_json_is_read_or_refused(body: str) -> None:
    never_breaks(READERS, body)
    try:
        tokens = answer_of(body).tokens
        assert all(-1e6 <= value <= 0.01 for one in tokens for value in (one.logprob, *one.top.values()))
        assert all(math.isfinite(one) for one in echoed_of(body, 3))
    except UnusableError:
        pass
    assert all(type(one) is int and 0 <= one < 2**32 for one in usage_of(body))


@settings(max_examples=60, deadline=None)
@given(mutated(SAID) | st.text())
def test_an_answer_of_any_json_is_read_or_refused(text: str) -> None:
    never_breaks(TEXT_READERS, text)


@settings(max_examples=30, deadline=None)
@given(st.lists(mutated(LINE), max_size=4))
def test_lines_of_results_of_any_json_are_taken_or_left_out(lines: list[str]) -> None:
    for one in results(io.BytesIO("\n".join(lines).encode("utf-8", "replace")), 1 << 20):
        assert isinstance(one.custom_id, str)
        if one.body is not None:
            never_breaks(READERS, one.body)


def test_a_line_of_results_that_is_too_long_is_a_refusal_of_its_own() -> None:
    long = json.dumps(LINE | {"custom_id": "long", "filler": "x" * 5000})
    lines = f"{long}\n{json.dumps(LINE)}\n{long}".encode()
    found = list(results(io.BytesIO(lines), 1000))
    assert [one.custom_id for one in found] == ["long", "k-0", "long"]
    assert [one.refusal is None for one in found] == [False, True, False]
    assert found[0].refusal is not None and "larger than the 1,000 bytes" in found[0].refusal


@pytest.mark.parametrize(
    ("options", "spoilt"),
    [
        ({}, {"usage": {"prompt_tokens": True, "completion_tokens": 10**30}}),
        ({}, lambda text: text.replace('"rating": ', f'"rating": {LONGER}')),
        ({}, lambda text: text.replace('"rating": ', f'"rating": {HUGE}')),
        ({"logprobs": True}, {"logprob": 1000.0}),
        ({"logprobs": True}, {"logprob": "NaN"}),
    ],
    ids=["usage", "5,000 digits", "400 digits", "log-probs of 1000", "log-probs that are text"],
)
@pytest.mark.parametrize("transport", ["live", "batch"])
def test_a_poisoned_reply_ends_no_build_and_is_asked_again(
    options: dict[str, Any], spoilt: Any, transport: str, tmp_path: Path
) -> None:
    class Poisoned(App):
        well = True

        def body_of(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
            found = super().body_of(body, fault)
            if not self.well and "question 2" in str(body) and isinstance(spoilt, dict):
                found |= {name: value for name, value in spoilt.items() if name == "usage"}
                for one in found["choices"]:
                    for piece in (one["logprobs"] or {}).get("content", []):
                        piece |= {name: value for name, value in spoilt.items() if name == "logprob"}
            return found

        def logprobs(self, body: dict[str, Any], text: str) -> dict[str, Any] | None:
            found = super().logprobs(body, text)
            for piece in found["content"] if found else []:
                piece["top_logprobs"] = [{"token": piece["token"], "logprob": -0.1}]
            return found

    def answer(body: dict[str, Any]) -> str:
        text = judge_by_hash(body)
        poison = not app.well and "question 2" in str(body) and callable(spoilt)
        return spoilt(text) if poison else text

    app = Poisoned(Settings(), answer)
    app.well = False
    write_jsonl(tmp_path / "rows.jsonl", wide(3, responses=2))
    with serving(app) as url:
        judge = {"kind": "llm-rating", "aspects": ["helpfulness"], "model": "m", "base_url": url, **options}
        judge |= {"transport": transport, "poll": 0.05}
        made = recipe_of(tmp_path, "rows.jsonl", judges=[judge], shards=1)
        rows = table(judge_all(made, tmp_path / "data"), verdicts_table(judges_of(made)[0]))
        failed = rows.filter(pl.col("failure").is_not_null())
        assert failed.height == (0 if isinstance(spoilt, dict) and "usage" in spoilt else 2)
        assert failed.get_column("retry").all() and failed.get_column("raw").null_count() == 0
        app.well = True
        rows = table(judge_all(made, tmp_path / "data"), verdicts_table(judges_of(made)[0]))
        assert rows.height == 6 and rows.get_column("failure").null_count() == 6
