"""13,140 recorded replies of real judges (LLMBar), read by our parsers and held against the authors' own reading."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from helpers import SHARED, recipe_of
from recorded_differences import BOTH, DIFFERENCES
from replay_server import SHOWN, App, Settings, serving

from pairwright.assets.auditing.evaluate import evaluate
from pairwright.judges.llm.prose import better_of_two, two_scores
from pairwright.models.serving.reply import UnusableError

FILE = SHARED / "judge_transcripts_llmbar.parquet"
pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason=f"no {FILE}: the recorded replies are not beside the checkout"
)

TIED = "equal scores are a tie; the authors counted every tie as a win of the second output"


class Ours(NamedTuple):
    """Our reading of a reply."""

    winner: str | None
    words: str


def ours(row: dict[str, Any]) -> Ours:
    """Our reading, in the original order of the pair: 1, 2, tie, or None for no verdict."""
    try:
        if row["strategy"].startswith("Rating"):
            first, second = two_scores(row["reply"], 0, 10)
            return Ours("1" if first > second else "2" if second > first else "tie", "scores")
        winner, words = better_of_two(row["reply"])
    except UnusableError as problem:
        return Ours(None, str(problem))
    if winner == "tie":
        return Ours("tie", words)
    return Ours("1" if (winner == "a") != row["swapped"] else "2", words)


@pytest.fixture(scope="module")
def compared() -> list[tuple[dict[str, Any], Ours]]:
    return [(row, ours(row)) for row in pl.read_parquet(FILE).iter_rows(named=True)]


def differing(compared: list[tuple[dict[str, Any], Ours]]) -> list[tuple[dict[str, Any], Ours]]:
    return [
        (row, mine)
        for row, mine in compared
        if row["parsed_winner"] is not None and mine.winner != row["parsed_winner"]
    ]


def test_every_reply_is_read_and_most_alike(compared: list[tuple[dict[str, Any], Ours]]) -> None:
    kinds = Counter(
        "equal" if mine.winner == row["parsed_winner"] is not None
        else "both without" if mine.winner is row["parsed_winner"]
        else "newly parsed" if row["parsed_winner"] is None
        else "tied scores" if row["strategy"].startswith("Rating")
        else "differs"
        for row, mine in compared
    )  # fmt: skip
    assert len(compared) == 13_140
    assert kinds == {"equal": 12_926, "both without": 28, "newly parsed": 3, "tied scores": 132, "differs": 51}


def test_what_the_authors_could_not_parse_is_empty_or_now_parsed(compared: list[tuple[dict[str, Any], Ours]]) -> None:
    unparsed = [(row["reply"], mine) for row, mine in compared if row["parsed_winner"] is None]
    assert len(unparsed) == 31
    assert [mine.winner for reply, mine in unparsed if not reply.strip()] == [None] * 28
    now = {mine.words: mine.winner for reply, mine in unparsed if reply.strip()}
    assert now == {
        "equally good": "tie",  # "… both Output (a) and Output (b) are equally good for the given instruction."
        "# Output (a) is better.": "2",  # in swapped order
        "I would choose Output (b) as the better response.": "2",
    }


def test_every_tie_of_scores_was_given_to_the_second(compared: list[tuple[dict[str, Any], Ours]]) -> None:
    ties = [(row, mine) for row, mine in differing(compared) if row["strategy"].startswith("Rating")]
    assert len(ties) == 132, TIED
    assert {row["parsed_winner"] for row, _ in ties} == {"2"}
    assert {mine.winner for _, mine in ties} == {"tie"}
    assert all(len({value for value in row["reply"].split() if not value.startswith("[[")}) == 1 for row, _ in ties)


def test_every_other_difference_is_listed(compared: list[tuple[dict[str, Any], Ours]]) -> None:
    found = Counter(
        (row["judge"], row["strategy"], row["pair_id"].removeprefix("llmbar-Natural-"), row["swapped"], row["step"],
         mine.winner, mine.words)
        for row, mine in differing(compared)
        if not row["strategy"].startswith("Rating")
    )  # fmt: skip
    assert found == Counter(dict.fromkeys(DIFFERENCES, 1))
    unread = {key for key, reason in DIFFERENCES.items() if reason == BOTH}
    assert {key[5] for key in unread} == {None}
    replies = {}
    for row, _ in compared:
        number = row["pair_id"].removeprefix("llmbar-Natural-")
        replies[row["judge"], row["strategy"], number, row["swapped"], row["step"]] = row["reply"]
    assert all(key[6] in replies[key[:5]] for key in DIFFERENCES.keys() - unread), "the quoted words are in the reply"


def test_gpt_4_comes_out_of_evaluate(tmp_path: Path, compared: list[tuple[dict[str, Any], Ours]]) -> None:
    pairs = pl.read_parquet(SHARED / "human_pairs.parquet").filter(pl.col("pair_id").str.starts_with("llmbar-Natural"))
    verdicts = {
        (row["pair_id"], row["swapped"]): better_of_two(row["reply"])[0].upper()
        for row, _ in compared
        if row["judge"] == "GPT-4" and row["strategy"] == "Vanilla"
    }
    texts = {}
    for row in pairs.iter_rows(named=True):
        texts[row["prompt"], row["response_a"], row["response_b"]] = verdicts[row["pair_id"], False]
        texts[row["prompt"], row["response_b"], row["response_a"]] = verdicts[row["pair_id"], True]

    def answer(body: dict[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        (prompt,) = re.findall(
            r"^BEGIN CONVERSATION \w+\n\[user\]\n(.*?)\nEND CONVERSATION", text, re.MULTILINE | re.DOTALL
        )
        first, second = (response for _, _, response in SHOWN.findall(text))
        return json.dumps({"rationale": "as recorded", "verdict": texts[prompt, first, second]})

    gold = tmp_path / "gold.parquet"
    pairs.select("prompt", "response_a", "response_b", "human_label").write_parquet(gold)
    with serving(App(Settings(), answer)) as url:
        judge = {"name": "gpt-4", "kind": "llm-pairwise", "model": "gpt-4", "base_url": url}
        made = recipe_of(tmp_path, "gold.parquet", judges=[judge])
        (found,) = [one for one in evaluate(made, gold, tmp_path / "data").agreements if one.judge == "gpt-4"]
    assert (found.n, found.agreement) == (100, pytest.approx(0.955))
    assert found.ties == 5, "of the pairs, 95 are judged alike in both orders"


@pytest.mark.parametrize(("judge", "right"), [("GPT-4", 0.955)])
def test_the_recorded_judges_accuracy(judge: str, right: float, compared: list[tuple[dict[str, Any], Ours]]) -> None:
    mine = [(row, one) for row, one in compared if row["judge"] == judge and row["strategy"] == "Vanilla"]
    assert len(mine) == 200
    assert sum(one.winner == row["gold"] for row, one in mine) / 200 == right
    sides: dict[str, set[str | None]] = {}
    for row, one in mine:
        sides.setdefault(row["pair_id"], set()).add(one.winner)
    assert sum(len(found) == 1 for found in sides.values()) == 95, "consistent over both orders"
