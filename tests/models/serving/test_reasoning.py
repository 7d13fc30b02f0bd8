"""Models that write their reasoning into the text: drafts in it are no verdicts, and it is no part of a response."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import recipe_of, table, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.intake.reasoned import reasoning_found
from pairwright.assets.intake.source import take_in
from pairwright.assets.sampling import sample
from pairwright.assets.sampling.pool import policies_of, samples_table
from pairwright.assets.storage.store import Workspace, write
from pairwright.judges.llm.parse import read_choice, read_order, read_rating
from pairwright.judges.llm.weigh import probabilities
from pairwright.models.serving.reasoning import answer_start, parted
from pairwright.models.serving.reply import Choice, Token, UnusableError
from pairwright.schemas.ids import response_id

DRAFT = 'Let me see: {"rationale": "first thought", "verdict": "A", "rating": 1, "ranking": ["A", "B"]}'
FINAL = '{"rationale": "second thought", "verdict": "B", "rating": 4, "ranking": ["B", "A"]}'


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("plain", "plain"),
        ("  plain, with spaces ", "  plain, with spaces "),
        ("<think>a\nb</think>\n\nanswer\n", "answer\n"),
        ("\n<think></think>answer", "answer"),
        ("begun by the template\n</think>\n\nanswer", "answer"),
        ("</think>\n\nanswer", "answer"),
        ("<think>one</think>answer with </think> in it", "answer with </think> in it"),
        ("An example:\n```\n<think>\nhm\n</think>\n```", "An example:\n```\n<think>\nhm\n</think>\n```"),
        ("Close it by `</think>`, then answer.", "Close it by `</think>`, then answer."),
        ("<thinking about it> is no tag", "<thinking about it> is no tag"),
        ("<think>without an end", None),
        ("<think>and then nothing</think>\n ", None),
        ("and then nothing\n</think>", None),
    ],
)
def test_where_the_answer_begins(text: str, answer: str | None) -> None:
    assert parted(text)[1] == answer


def test_reasoning_comes_without_its_tags() -> None:
    assert parted("<think>\na\n b\n</think>\n\nanswer")[0] == "a\n b"
    assert parted("begun by the template\n</think>\n\nanswer")[0] == "begun by the template"
    assert parted("<think> </think>answer") == (None, "answer")
    assert parted("plain") == (None, "plain")


@pytest.mark.parametrize("text", [f"<think>{DRAFT}</think>\n{FINAL}", f"{DRAFT}\n</think>\n\n```json\n{FINAL}\n```"])
def test_a_draft_in_the_reasoning_is_no_verdict(text: str) -> None:
    assert read_choice(text, "verdict", ["A", "B"]) == ("B", "second thought")
    assert read_rating(text, "rating", 1, 5, False)[0] == 4.0
    assert read_order(text, "AB")[0] == ["B", "A"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"<think>{DRAFT}", "truncated thinking: it has no end"),
        (f"<think>{DRAFT}</think>", "behind the reasoning, the answer is empty"),
        (f"<think>{DRAFT}</think>I cannot decide.", "no JSON object"),
        (f"{DRAFT} or rather {FINAL}", "several JSON objects"),
    ],
)
def test_reasoning_alone_holds_no_verdict(text: str, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        read_choice(text, "verdict", ["A", "B"])


def test_a_tag_that_a_verdict_quotes_cuts_nothing_off() -> None:
    said = json.dumps({"rationale": "it ends with </think> and no answer", "verdict": "A"})
    assert read_choice(said, "verdict", ["A", "B"])[0] == "A"
    assert answer_start(said) == 0


@pytest.mark.parametrize("parsed", [False, True], ids=["in the text", "cut out of the text by the server"])
def test_log_probs_are_read_at_the_verdict_not_at_the_draft(parsed: bool) -> None:
    pieces = ["<think>", '{"verdict": "', "A", '"}', "</think>", "\n", '{"verdict": "', "B", '"}']
    sure = {"A": math.log(0.99), "B": math.log(0.01)}
    torn = {"B": math.log(0.7), "A": math.log(0.3)}
    tokens = [Token(one, -0.1, {}) for one in pieces]
    tokens[2], tokens[7] = Token("A", sure["A"], sure), Token("B", torn["B"], torn)
    text = "".join(pieces[6:] if parsed else pieces)
    found = probabilities(Choice(text, "stop", tokens), "verdict", ["A", "B"])
    assert found == pytest.approx({"A": 0.3, "B": 0.7})
    cut = Choice("".join(pieces[:4]), "stop", tokens[:4])
    assert probabilities(cut, "verdict", ["A", "B"]) is None


def drawn(folder: Path, app: App, **options: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Samples and responses of a policy over six prompts."""
    write_jsonl(folder / "rows.jsonl", [{"prompt": f"question {i}"} for i in range(6)])
    with serving(app) as url:
        policy = {"name": "w", "kind": "openai", "model": "m", "base_url": url, **options}
        made = recipe_of(folder, "rows.jsonl", shards=1, policies=[policy], judges=[{"kind": "length"}])
        workspace = Workspace.of(made, folder / "data")
        take_in(made, workspace)
        (shard,) = workspace.each_shard()
        sample.sample_shard(made, policies_of(made)[0], workspace, shard)
        sample.respond(made, workspace, shard)
    return table(workspace, samples_table(policies_of(made)[0])), table(workspace, "responses")


@pytest.mark.parametrize("text", ["<think>long and hard</think>\n\nforty-two", "long and hard\n</think>\n\nforty-two"])
def test_a_response_is_the_answer_and_the_sample_keeps_the_reasoning(text: str, tmp_path: Path) -> None:
    samples, responses = drawn(tmp_path, App(Settings(), lambda body: text), samples=1, logprobs=True)
    assert samples.get_column("text").unique().to_list() == [text]
    assert samples.get_column("logprob").null_count() == 0
    assert responses.get_column("text").unique().to_list() == ["forty-two"]
    assert responses.select("logprob", "completion_tokens").null_count().row(0) == (6, 6)
    ids = [response_id(one, "forty-two") for one in responses.get_column("prompt_id")]
    assert responses.get_column("response_id").to_list() == ids
    assert responses.get_column("reasoning").unique().to_list() == ["long and hard"]


def test_reasoning_without_an_end_is_a_failure_that_keeps_the_reply(tmp_path: Path) -> None:
    samples, responses = drawn(tmp_path, App(Settings(), lambda body: "<think>on and on"), samples=1)
    assert responses.is_empty()
    assert samples.get_column("text").null_count() == samples.height == 6
    assert all(reason.startswith("truncated thinking: it has no end") for reason in samples.get_column("failure"))
    assert all("on and on" in raw for raw in samples.get_column("raw"))


def test_what_sources_and_old_samples_bring_is_left_and_counted(tmp_path: Path) -> None:
    given = ["<think>hm</think>yes", "hm\n</think>\nyes", "yes", "No <think> here.\n</think>"]
    write_jsonl(tmp_path / "rows.jsonl", [{"prompt": f"question {i}", "responses": given} for i in range(2)])
    made = recipe_of(tmp_path, "rows.jsonl", shards=1)
    workspace = Workspace.of(made, tmp_path / "data")
    take_in(made, workspace)
    assert sorted(set(table(workspace, "responses").get_column("text"))) == sorted(given)
    passed, found = reasoning_found(workspace.files("responses"))
    assert not passed and found.startswith("4 of 8 open with it")
    old = tmp_path / "old.parquet"
    write(pl.DataFrame({"text": ["<think>on and on", "<think>hm</think>yes", None]}), old, {"version": "1"})
    passed, found = reasoning_found(workspace.files("responses"), [old])
    assert not passed and "1 samples are reasoning without an end" in found
    write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "question", "responses": ["yes", "no"]}])
    take_in(made, workspace)
    assert reasoning_found(workspace.files("responses")) == (True, "none of 2")
