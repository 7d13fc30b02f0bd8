"""Rows of public preference sets, as they come: the prompt, the responses, and what was said of them; or why not."""

import math
from typing import Any

import pytest

from pairwright.assets.intake.labelled_rows import Labelled, labelled
from pairwright.assets.intake.shapes import recognised
from pairwright.schemas.errors import SourceError

Q = "How long does rice cook?"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(row: dict[str, Any], **told: Any) -> Labelled:
    shape = recognised(list(row), told)
    assert shape is not None
    return labelled(row, shape)


SYSTEM = {"role": "system", "content": "Be brief."}
LONG = [user("Hi"), said("Hello"), user(Q)]
TURNS = [SYSTEM, *LONG]
PARTS = [{"role": "user", "content": [{"type": "text", "text": Q}]}]
SIDES = {"chosen": [said("x")], "rejected": [said("y")]}
RANKED = [{"rank": 0, "completion": [said("x")]}, {"rank": 1, "completion": [said("y")]}]
HH = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: {q}\n\nAssistant: {a}"
PAIRS: dict[str, tuple[dict[str, Any], Any, float | None]] = {
    "texts": ({"prompt": Q, "chosen": "x", "rejected": "y"}, Q, 1.0),
    "explicit prompt": ({"prompt": [user(Q)], "chosen": [said("x")], "rejected": [said("y")]}, [user(Q)], 1.0),
    "implicit prompt": (
        {"chosen": [SYSTEM, *LONG, said("x")], "rejected": [SYSTEM, *LONG, said("y")]},
        [SYSTEM, *LONG],
        1.0,
    ),
    "both": ({"prompt": Q, "chosen": [user(Q), said("x")], "rejected": [user(Q), said("y")]}, [user(Q)], 1.0),
    "HH": ({"chosen": HH.format(q=Q, a="x"), "rejected": HH.format(q=Q, a="y")}, LONG, 1.0),
    "HH with a prompt": ({"prompt": HH.format(q=Q, a=""), "chosen": "x", "rejected": "y"}, LONG, 1.0),
    "texts that begin alike": ({"chosen": "The sky is x", "rejected": "The sky is y"}, "The sky is", 1.0),
    "arena": (
        {"conversation_a": [user(Q), said("x")], "conversation_b": [user(Q), said("y")], "winner": "model_b"},
        [user(Q)],
        0.0,
    ),
    "label beside sides": (
        {"prompt": Q, "response_a": "x", "response_b": "y", "human_label": "b", "chosen": "y", "rejected": "x"},
        Q,
        0.0,
    ),
    "arena tie": ({"prompt": Q, "response_a": "x", "response_b": "y", "winner": "tie (bothbad)"}, Q, 0.5),
    "tie in a column": ({"prompt": Q, "response_a": "x", "response_b": "y", "label": "a", "tie": 1}, Q, 0.5),
    "1 or 2": ({"prompt": Q, "response_a": "x", "response_b": "y", "label": 2.0}, Q, 0.0),
    "signed strength": (
        {"context": [user(Q)], "response1": "x", "response2": "y", "overall_preference": -2},
        [user(Q)],
        1.0,
    ),
    "share of wins": ({"history": Q, "human_ref_A": "x", "human_ref_B": "y", "labels": 1}, Q, 1.0),
    "number of the better": ({"prompt": Q, "response_0": "x", "response_1": "y", "better_response_id": 1}, Q, 0.0),
    "sharegpt": (
        {
            "conversations": [{"from": "human", "value": Q}],
            "chosen": {"from": "gpt", "value": "x"},
            "rejected": {"from": "gpt", "value": "y"},
        },
        [user(Q)],
        1.0,
    ),
    "content parts": (
        {
            "prompt": [{"role": "user", "content": [{"type": "text", "text": Q}]}],
            "chosen": [said("x")],
            "rejected": [said("y")],
        },
        [user(Q)],
        1.0,
    ),
    "no label yet": ({"prompt": Q, "response_a": "x", "response_b": "y", "human_label": None}, Q, None),
}


@pytest.mark.parametrize("shape", PAIRS)
def test_pairs_of_every_shape(shape: str) -> None:
    row, prompt, won = PAIRS[shape]
    found = read(row)
    assert (found.record["prompt"], found.record["responses"]) == (prompt, ["x", "y"])
    assert [one.won for one in found.votes] == ([] if won is None else [won])


RESPONSES: dict[str, tuple[dict[str, Any], list[tuple[int, str, float | None]]]] = {
    "liked or not": ({"prompt": Q, "completion": "x", "label": True}, [(0, "label", 1.0)]),
    "long": ({"prompt": Q, "response": "x", "helpfulness": 3}, [(0, "helpfulness", 3.0)]),
    "wide": ({"prompt": Q, "responses": ["x", "y"], "scores": [1, None]}, [(0, "scores", 1.0)]),
    "ranks": ({"prompt": Q, "responses": ["x", "y"], "ranks": [2, 1]}, [(0, "rank", -2.0), (1, "rank", -1.0)]),
    "completions": (
        {"instruction": Q, "completions": [{"response": "x", "model": "m", "overall_score": 7.5}, {"response": "y"}]},
        [(0, "overall_score", 7.5)],
    ),
    "ranked completions": (
        {"context": [user(Q)], "completions": RANKED},
        [(0, "rank", 0.0), (1, "rank", -1.0)],
    ),
    "a release's rankings": (
        {"prompt": [user(Q)], "responses": [[said("x")], [said("y")]], "scores": [1, 0.5], "policies": [["m"], []]},
        [(0, "scores", 1.0), (1, "scores", 0.5)],
    ),
    "scores beside a pair": (
        {"prompt": Q, "chosen": "x", "rejected": "y", "score_chosen": 8.0, "score_rejected": "2.5"},
        [(0, "score", 8.0), (1, "score", 2.5)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", RESPONSES)
def test_responses_with_scores_of_every_shape(shape: str) -> None:
    row, scores = RESPONSES[shape]
    assert [one[:3] for one in read(row).scores] == scores


PAIR = {"prompt": Q, "response_a": "x", "response_b": "y", "label": "a"}
SPLIT = [user(Q), said("x"), user("And?"), said("z")]
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "one side": ({**PAIR, "response_b": None}, "response_b is missing"),
    "no prompt": ({**PAIR, "prompt": None}, "prompt is missing"),
    "equal": ({**PAIR, "response_b": "x"}, "both responses are the same text"),
    "unequal beginnings": ({"chosen": "Yes.", "rejected": "No."}, "there is no prompt: chosen and rejected share no"),
    "several turns apart": (
        {"chosen": SPLIT, "rejected": [user(Q), said("y"), user("And?"), said("z")]},
        "chosen has 3 turns (assistant, user, assistant), expected the assistant's one",
    ),
    "mixed": ({"prompt": Q, "chosen": [said("x")], "rejected": "y"}, "rejected is a text and chosen a conversation"),
    "another prompt": (
        {"prompt": "Why?", "chosen": [user(Q), said("x")], "rejected": [user(Q), said("y")]},
        "prompt says other things than the turns that chosen and rejected begin with",
    ),
    "scores short": ({"prompt": Q, "responses": ["x", "y"], "scores": [1]}, "scores: 1 for 2 responses"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_cannot_be_used_say_why(case: str) -> None:
    row, why = REFUSED[case]
    with pytest.raises(ValueError) as raised:
        read(row)
    assert str(raised.value).startswith(why)


def test_what_is_no_label_or_no_number_is_said_of_it_alone() -> None:
    vote = read({**PAIR, "label": "first"}).votes[0]
    assert (vote.won, vote.failure) == (None, "label 'first' is unknown; allowed: a, b, tie")
    scores = read({"prompt": Q, "responses": ["x", "y"], "scores": [math.nan, "high"]}).scores
    whys = ["scores is NaN, expected a finite number", "scores is 'high', expected a number"]
    assert [(one.value, one.failure) for one in scores] == [(None, why) for why in whys]


def test_labels_of_0_and_1_are_never_guessed() -> None:
    with pytest.raises(SourceError, match="say what 0 and 1 mean"):
        read({**PAIR, "label": 0})
    assert read({**PAIR, "label": 0}, labels={"0": "a", "1": "b"}).votes[0].won == 1.0
    vote = read({**PAIR, "label": "a"}, labels={"0": "a", "1": "b"}).votes[0]
    assert vote.failure == "label 'a' is unknown; allowed: 0, 1"


def test_several_votes_in_one_row() -> None:
    votes = read({**PAIR, "label": ["a", "b", None], "annotator": ["x", "y", "z"]}).votes
    assert [(one.annotator, one.won) for one in votes] == [("x", 1.0), ("y", 0.0)]


def test_a_conversation_ends_with_its_response() -> None:
    told = {"conversation": "messages", "scores": {"rating": ("rating",)}}
    found = read({"messages": [*LONG, said("x")], "rating": 4}, **told)
    assert (found.record["prompt"], found.record["responses"]) == (LONG, ["x"])
    assert [one[:3] for one in found.scores] == [(0, "rating", 4.0)]
    with pytest.raises(ValueError, match="messages ends with the user's turn, expected the assistant's"):
        read({"messages": LONG}, conversation="messages")
