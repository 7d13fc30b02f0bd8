"""What a stranger might do to it: odd replies, empty shards, lone responses, web pages, caps that cannot hold."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import build, judge_all, recipe_of, table, wide, write_jsonl
from replay_server import App, Settings, judge_by_hash, serving

from pairwright.assets.judging.audit import audit_view
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.storage.reply_ledger import budget_of, costs
from pairwright.assets.storage.store import Workspace
from pairwright.judges.llm.parse import read_choice
from pairwright.models.serving.reply import UnusableError, answer_of, usage_of
from pairwright.pipelines.plan import plan
from pairwright.schemas.errors import JudgeError, RecipeError
from pairwright.schemas.recipe import Recipe

KINDS: list[dict[str, Any]] = [
    {"kind": "llm-pairwise"},
    {"kind": "llm-rating", "aspects": ["helpfulness"]},
    {"kind": "llm-rating", "name": "together", "aspects": ["helpfulness"], "per_call": "all"},
    {"kind": "llm-listwise"},
]


def recipe(folder: Path, url: str, rows: list[dict[str, Any]], **parts: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", rows)
    judges = [{"model": "m", "base_url": url, **one} for one in parts.pop("kinds", KINDS)]
    return recipe_of(folder, "rows.jsonl", judges=judges, **parts)


def judged(made: Recipe, data: Path) -> dict[str, pl.DataFrame]:
    workspace = judge_all(made, data)
    return {judge.name: table(workspace, verdicts_table(judge)) for judge in judges_of(made)}


def test_a_lone_response_costs_no_comparison_and_says_why(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        made = recipe(tmp_path, url, wide(3, responses=1))
        planned = {one.judge: one.estimate.calls for one in plan(made, Workspace.of(made, tmp_path / "data")).lines}
        rows = judged(made, tmp_path / "data")
    assert planned == {"llm-pairwise": 0, "llm-rating": 3, "together": 3, "llm-listwise": 0}
    assert len(app.sent) == 6
    assert rows["llm-pairwise"].is_empty()
    assert set(rows["llm-listwise"].get_column("failure")) == {"the prompt has no other response to rank it against"}


def test_too_many_for_one_call_are_not_asked_about(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        made = recipe(tmp_path, url, wide(1, responses=27), kinds=KINDS[2:], shards=1)
        assert not plan(made, Workspace.of(made, tmp_path / "data")).total.calls
        rows = judged(made, tmp_path / "data")
    assert not app.sent
    for name in ("together", "llm-listwise"):
        assert rows[name].height == 27 and not rows[name].get_column("retry").any()
        assert rows[name].get_column("failure").str.contains("more responses than the 26").all()


def test_duplicated_responses_are_one(tmp_path: Path) -> None:
    app = App(Settings())
    rows = [{**row, "responses": row["responses"][:2] * 3, "policies": row["policies"] + ["x", "y"]} for row in wide(2)]
    with serving(app) as url:
        found = judged(recipe(tmp_path, url, rows), tmp_path / "data")
    assert (found["llm-pairwise"].height, found["llm-rating"].height, found["llm-listwise"].height) == (2, 4, 4)
    assert len(app.sent) == 2 * 2 + 4 + 2 + 2 * 2


def test_shards_without_prompts_and_sources_without_rows(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        made = recipe(tmp_path, url, wide(1), shards=6)
        build(made, tmp_path / "data")
        count = len(app.sent)
        build(made, tmp_path / "data")
        assert len(app.sent) == count > 0
        nothing = recipe(tmp_path, url, [])
        assert all(rows.is_empty() for rows in judged(nothing, tmp_path / "empty").values())
        workspace = Workspace.of(nothing, tmp_path / "empty")
        assert not plan(nothing, workspace).total.calls
        for judge in judges_of(nothing):
            view = audit_view(judge, workspace, workspace.files(verdicts_table(judge)))
            assert view.findings["watch_retest"] == (True, "no case")
        assert len(app.sent) == count


class Page(App):
    """A web page for everything, with status 200."""

    kind = "text/html"

    async def route(self, path: str, body: bytes, send: Any) -> None:
        self.sent.append((path, "page"))
        headers = [(b"content-type", self.kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<!doctype html><title>Welcome</title>"})

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await self.route(scope["path"], b"", send)


@pytest.mark.parametrize("transport", ["live", "batch"])
@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_a_page_in_place_of_answers_stops_the_build_and_is_quoted(
    transport: str, content_type: str, tmp_path: Path
) -> None:
    app = Page(Settings())
    app.kind = content_type
    kind = {"kind": "llm-pairwise", "transport": transport, "concurrency": 2, "poll": 0.1}
    with serving(app) as url, pytest.raises(JudgeError, match=r"not (speak )?the OpenAI protocol.*<!doctype html>"):
        judged(recipe(tmp_path, url, wide(40), kinds=[kind]), tmp_path / "data")
    assert len(app.sent) < 30, "not three times each of 480 calls"


def odd(content: Any = "x", **fields: Any) -> str:
    return json.dumps({"choices": [{"message": {"content": content}}], **fields})


@pytest.mark.parametrize(
    "body",
    ["", "[]", "null", "3", '{"choices": null}', '{"choices": [3]}', '{"choices": []}', odd(None), odd(5), odd([3]),
     odd({"text": "x"}), odd([{"type": "image"}]), '{"error": "x", "object": "error"}', "{" * 5000, "[" * 100_000],
)  # fmt: skip
def test_odd_replies_are_failures_with_a_reason(body: str) -> None:
    with pytest.raises(UnusableError) as caught:
        answer_of(body)
    assert str(caught.value)


def test_content_in_parts_is_read() -> None:
    assert answer_of(odd([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])).text == "ab"


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 10**12, "completion_tokens": 3}, (0, 3)),
        ({"prompt_tokens": -5, "completion_tokens": "7"}, (0, 0)),
        ({"prompt_tokens": 1.5, "completion_tokens": None}, (0, 0)),
        ([], (0, 0)),
        ("many", (0, 0)),
    ],
)
def test_odd_counts_of_tokens_count_for_nothing(usage: Any, counted: tuple[int, int]) -> None:
    assert usage_of(odd(usage=usage))[:2] == counted


def test_odd_replies_reach_the_tables_whole(tmp_path: Path) -> None:
    """Half a surrogate pair, a zero byte and an absurd token count neither crash a build nor lose a verdict."""

    class Odd(App):
        def body_of(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
            found = super().body_of(body, fault)
            return found | {"usage": {"prompt_tokens": 10**15, "completion_tokens": 2}}

    def answer(body: dict[str, Any]) -> str:
        wanted = body["response_format"]["json_schema"]["schema"]["properties"]
        if "ranking" in wanted:
            return '{"rationale": "r", "ranking": ["\\ud800", "B"]}'
        return judge_by_hash(body).replace("First.", "half \\ud83d, zero \\u0000")

    with serving(Odd(Settings(), answer)) as url:
        made = recipe(tmp_path, url, wide(2), kinds=[KINDS[0], KINDS[3]])
        found = judged(made, tmp_path / "data")
        spent = costs(made.judges, Workspace.of(made, tmp_path / "data"))
    assert found["llm-pairwise"].get_column("rationale").str.contains("half").all()
    assert found["llm-listwise"].get_column("failure").str.contains("ranking is").all()
    assert spent["llm-pairwise"]["prompt_tokens"] == 0


def test_a_label_in_other_writing_is_no_verdict() -> None:
    for value in ('"\\uff21"', '"\\u0410"', '["A"]', '{"is": "A"}', "true", '"A or B"'):  # full-width, Cyrillic
        with pytest.raises(UnusableError):
            read_choice(f'{{"verdict": {value}}}', "verdict", ["A", "B"])


def test_without_prices_nothing_costs_and_a_cap_in_usd_is_refused_where_it_would_hold_nothing(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        made = recipe(tmp_path, url, wide(2), kinds=KINDS[:1], budget={"usd": 0.01})
        assert plan(made, Workspace.of(made, tmp_path / "data")).total.cost_usd == 0
        judged(made, tmp_path / "data")
        assert budget_of(made, Workspace.of(made, tmp_path / "data")).spent.usd == 0
    distant = recipe(tmp_path, "https://127.0.0.1:9/v1", wide(2), kinds=KINDS[:1], budget={"usd": 0.01})
    for ask in (budget_of, plan):
        with pytest.raises(RecipeError, match=r"budget\.usd is 0\.01, but llm-pairwise has no price"):
            ask(distant, Workspace.of(distant, tmp_path / "data"))
