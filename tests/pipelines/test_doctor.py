"""Servers that lie by silence are found out, by `doctor` and by the build."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from helpers import build, recipe_of, table, wide, write_jsonl
from replay_server import SHOWN, App, Settings, reply, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.storage.reply_ledger import budget_of, findings_file
from pairwright.assets.storage.store import Workspace
from pairwright.doctor_command import doctor
from pairwright.models.serving.abilities import keep, read
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.finding import Finding
from pairwright.models.serving.probe import probe
from pairwright.models.serving.probe_batch import probe_batch
from pairwright.pipelines.doctor import examine
from pairwright.schemas.errors import BudgetError, JudgeError, RecipeError

ALL = {"n", "logprobs", "schema", "echo"}


class Able(App):
    """A server that does it all; `lies` names what it ignores in silence, `echo` an echo off by one."""

    async def complete(self, body: dict[str, Any], send: Any) -> None:
        if "messages" in body or "logprobs" in self.lies or not body.get("logprobs"):
            return await super().complete(body, send)
        words = body["prompt"].split()
        made = [f" t{len(words) + i}" for i in range(body["max_tokens"])]
        tokens = ([f" {word}" for word in words] if body.get("echo") else []) + made
        values = [-0.01 * sum(map(ord, token)) for token in tokens]
        if body.get("echo"):
            values = [None, *values[1:]]
            if "echo" in self.lies:
                values = [None, None, *values[1:-1]]
        logprobs = {"tokens": tokens, "token_logprobs": values}
        choice = {"index": 0, "text": "".join(tokens), "finish_reason": "length", "logprobs": logprobs}
        return await reply(send, 200, {"choices": [choice], "usage": {}})

    def logprobs(self, body: dict[str, Any], text: str) -> dict[str, Any] | None:
        found = super().logprobs(body, text)
        for token in found["content"] if found else []:
            token["top_logprobs"] = [{"token": token["token"], "logprob": -0.1}, {"token": "x", "logprob": -3.0}]
        return found


@pytest.mark.parametrize("lie", [None, "n", "logprobs", "schema", "echo"])
def test_each_lie_is_found_out_and_nothing_else(lie: str | None) -> None:
    app = Able(Settings())
    app.lies = {lie} if lie else set()
    with serving(app) as url:
        found = {one.feature: one.state for one in probe(Endpoint(model="m", base_url=url), ALL)}
    lost = {lie, "echo"} if lie == "logprobs" else {lie}
    assert found == {"chat": "yes", **{name: "no" if name in lost else "yes" for name in ALL}}


def test_the_command_says_what_to_change(tmp_path: Path) -> None:
    app = Able(Settings())
    app.lies = {"logprobs", "n"}
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    with serving(app) as url:
        recipe = {
            "dataset": "probed",
            "prompts": {"source": "rows.jsonl"},
            "policies": [{"name": "small", "kind": "openai", "model": "m", "base_url": url}],
            "judges": [{"kind": "llm-pairwise", "model": "m", "base_url": url, "logprobs": True}],
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe))
        result = CliRunner().invoke(doctor, [str(path), "--data", str(tmp_path / "data")])
        assert result.exit_code == 1
        assert "n=2 was ignored in silence" in result.output
        assert "set logprobs: false" in result.output
        app.lies = {"n"}
        assert CliRunner().invoke(doctor, [str(path), "--data", str(tmp_path / "data")]).exit_code == 0, (
            "samples are drawn one by one"
        )


def duel(url: str, **options: Any) -> dict[str, Any]:
    return {"kind": "llm-pairwise", "model": "m", "base_url": url, **options}


def longer(body: dict[str, Any]) -> str:
    """A verdict for the longer one, whether a schema was sent or not."""
    (_, _, a), (_, _, b) = SHOWN.findall(body["messages"][-1]["content"])
    return json.dumps({"rationale": "r", "verdict": "A" if len(a) > len(b) else "B"})


def lying(*lies: str) -> Able:
    app = Able(Settings(), answer=longer)
    app.lies = set(lies)
    return app


def test_the_build_stops_where_log_probs_come_back_empty(tmp_path: Path) -> None:
    app = lying("logprobs")
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    with serving(app) as url:
        with pytest.raises(JudgeError, match="set logprobs: false"):
            build(recipe_of(tmp_path, "rows.jsonl", judges=[duel(url, logprobs=True)]), tmp_path / "data")
        assert not app.sent, "no call that would have been paid for in vain"
        with pytest.raises(JudgeError, match="`pairwright doctor` asks again"):
            build(recipe_of(tmp_path, "rows.jsonl", judges=[duel(url, logprobs=True)]), tmp_path / "data")
        assert len(app.probes) == 3, "chat, schema and log-probs, once"


def test_the_recipe_may_allow_plain_verdicts(tmp_path: Path) -> None:
    app = lying("logprobs")
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    with serving(app) as url:
        made = recipe_of(tmp_path, "rows.jsonl", judges=[duel(url, logprobs="optional")])
        build(made, tmp_path / "data")
        assert all(one.fit for one in examine(made))
    assert app.bodies and not any("logprobs" in body for body in app.bodies)


def test_an_answer_without_the_log_probs_that_were_asked_for_is_a_failure(tmp_path: Path) -> None:
    app = lying()
    write_jsonl(tmp_path / "rows.jsonl", wide(2))
    with serving(app) as url:
        made = recipe_of(tmp_path, "rows.jsonl", judges=[duel(url, logprobs=True, max_failure_share=1)])
        build(made, tmp_path / "data")
        (judge,) = judges_of(made)
        workspace = Workspace.of(made, tmp_path / "data")
        assert table(workspace, verdicts_table(judge)).get_column("failure").null_count() == 2 * 6
        app.lies = {"logprobs"}
        write_jsonl(tmp_path / "rows.jsonl", wide(3))
        build(made, tmp_path / "data")
    rows = table(workspace, verdicts_table(judge))
    assert rows.filter(pl.col("failure") == "the answer came without log-probs").height == 6


def test_without_schemas_answers_are_parsed(tmp_path: Path) -> None:
    app = lying("schema")
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    with serving(app) as url:
        build(recipe_of(tmp_path, "rows.jsonl", judges=[duel(url)]), tmp_path / "data")
    assert len(app.bodies) == 3 * 6 * 2 and not any("response_format" in body for body in app.bodies)


def test_each_endpoint_is_asked_once_and_doctor_asks_again(tmp_path: Path) -> None:
    app = lying("schema")
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    with serving(app) as url:
        judges = [duel(url), duel(url, name="other", system="s"), duel(url, name="third", orders="one")]
        made = recipe_of(tmp_path, "rows.jsonl", judges=judges, shards=3)
        build(made, tmp_path / "data")
        assert len(app.probes) == 2, "chat and schema, for three judges and three shards"
        app.lies, app.bodies = set(), []
        examine(made, tmp_path / "data")
        write_jsonl(tmp_path / "rows.jsonl", wide(5))
        build(made, tmp_path / "data")
    assert app.bodies and all("response_format" in body for body in app.bodies)


def test_what_a_busy_server_leaves_open_is_neither_kept_nor_held_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairwright.models.serving.probe.backoff", lambda tries: 0.01)

    class Busy(Able):
        async def answered(self, body: dict[str, Any], fault: str, send: Any) -> None:
            probed = "Say hello." in str(body["messages"])
            await super().answered(body, "503" if probed else fault, send)

    app = Busy(Settings(), answer=longer)
    write_jsonl(tmp_path / "rows.jsonl", wide(2))
    with serving(app) as url:
        made = recipe_of(tmp_path, "rows.jsonl", judges=[duel(url)], shards=1)
        build(made, tmp_path / "data")
    assert app.bodies and all("response_format" in body for body in app.bodies)
    assert not findings_file(tmp_path / "data").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"x": 5}', '{"x": {"n": 3}}', '{"x": {"n": []}}', "\\x00"])
def test_a_damaged_file_of_findings_costs_a_few_probes_and_no_more(content: str, tmp_path: Path) -> None:
    file, endpoint = findings_file(tmp_path), Endpoint(model="m", base_url="http://127.0.0.1:9/v1")
    file.write_text(content)
    assert read(file, endpoint) == {}
    kept = keep(file, endpoint, [Finding("n", "no", "why"), Finding("schema", "unknown", "busy")])
    assert read(file, endpoint) == kept == {"n": Finding("n", "no", "why")}
    assert read(file, Endpoint(model="other", base_url="http://127.0.0.1:9/v1")) == {}
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_spent_budget_pays_for_no_probe(tmp_path: Path) -> None:
    app = lying()
    write_jsonl(tmp_path / "rows.jsonl", wide(2))
    with serving(app) as url:
        made = recipe_of(tmp_path, "rows.jsonl", judges=[duel(url)], budget={"calls": 0}, shards=1)
        workspace = Workspace.of(made, tmp_path / "data")
        take_in(made, workspace)
        with pytest.raises(BudgetError, match=r"budget\.calls is 0"):
            judge_shard(judges_of(made)[0], workspace, next(workspace.each_shard()), budget_of(made, workspace))
    assert not app.probes and not app.sent


@pytest.mark.parametrize(
    ("headers", "options", "state", "said"),
    [
        ({}, {}, "unknown", "states none"),
        ({"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "30000"}, {}, "no", "rpm: 500, tpm: 30000"),
        ({"x-ratelimit-limit-requests": "500"}, {"rpm": 500}, "yes", "keeps to it"),
        ({"x-ratelimit-limit-requests": "500"}, {"rpm": 501}, "no", "rpm: 500; set that"),
        ({"x-ratelimit-limit-tokens": "a lot"}, {}, "unknown", "states none"),
    ],
)
def test_limits_that_a_server_states_are_held_against_the_recipe(
    headers: dict[str, str], options: dict[str, int], state: str, said: str
) -> None:
    class Limited(Able):
        async def complete(self, body: dict[str, Any], send: Any) -> None:
            async def with_headers(event: dict[str, Any]) -> None:
                if "headers" in event:
                    more = [(name.encode(), value.encode()) for name, value in headers.items()]
                    event = event | {"headers": [*event["headers"], *more]}
                await send(event)

            await super().complete(body, with_headers)

    with serving(Limited(Settings())) as url:
        _, found = probe(Endpoint(model="m", base_url=url, **options), {"limits"})
    assert (found.feature, found.state) == ("limits", state) and said in found.detail


@pytest.mark.parametrize("hold", [True, False], ids=["cancelled", "already done"])
def test_the_batch_api_is_tried_and_cleared_up(hold: bool) -> None:
    app = Able(Settings())
    app.batches.hold = hold
    with serving(app) as url:
        found = probe_batch(Endpoint(model="m", base_url=url))
    assert (found.feature, found.state) == ("batch", "yes")
    assert len(app.batches.requests) == 1 and not app.batches.files and not app.sent
    assert app.batches.made["batch_0"]["status"] == ("cancelled" if hold else "completed")


@pytest.mark.parametrize("missing", ["files", "batches"])
def test_a_server_without_batches_is_told_to_go_live(missing: str, tmp_path: Path) -> None:
    app = Able(Settings())
    serve = app.batches.serve

    def partly(method: str, path: str, body: bytes) -> tuple[int, Any]:
        return (404, {"error": {"message": "no"}}) if f"/{missing}" in path else serve(method, path, body)

    app.batches.serve = partly  # type: ignore[method-assign]
    write_jsonl(tmp_path / "rows.jsonl", wide(1))
    with serving(app) as url:
        path = tmp_path / "recipe.yaml"
        parts = {"dataset": "probed", "prompts": {"source": "rows.jsonl"}, "judges": [duel(url, transport="batch")]}
        path.write_text(yaml.safe_dump(parts))
        result = CliRunner().invoke(doctor, [str(path), "--data", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert "status 404" in result.output and "set transport: live" in result.output
    assert not app.batches.files


def test_served_models_and_base_models_are_asked_by_their_own_path(tmp_path: Path) -> None:
    app = Able(Settings())
    write_jsonl(tmp_path / "rows.jsonl", wide(1))
    with serving(app) as url:
        served = {"base_url": url, "max_tokens": 512, "revision": "0" * 40}
        strong, weak = ({"id": name, **served} for name in ("strong", "weak"))
        base = {"name": "base", "kind": "openai-completions", "model": "b", "base_url": url, "samples": 2}
        judges = [{"kind": "density-ratio", "strong": strong, "weak": weak}]
        made = recipe_of(tmp_path, "rows.jsonl", judges=judges, policies=[base])
        found = [[(one.feature, one.state) for one in part.findings] for part in examine(made)]
    mine = [("chat", "yes"), ("limits", "unknown"), ("n", "yes")]
    assert found == [mine, [("echo", "yes")], [("echo", "yes")]]
    assert app.probes and all("prompt" in body for body in app.probes)


def test_what_is_refused_without_the_feature_too_says_nothing_about_it(tmp_path: Path) -> None:
    """Its refusal is told, and no feature is held against the server."""

    class Closed(Able):
        async def complete(self, body: dict[str, Any], send: Any) -> None:
            await reply(send, 400, {"error": {"message": "not before noon"}})

    write_jsonl(tmp_path / "rows.jsonl", wide(1))
    with serving(Closed(Settings())) as url:
        (checked,) = examine(recipe_of(tmp_path, "rows.jsonl", judges=[duel(url)]), tmp_path / "data")
    found = {one.feature: one for one in checked.findings}
    assert found["schema"].state == "unknown" and "not before noon" in found["chat"].detail
    assert not checked.fit and not findings_file(tmp_path / "data").exists()


def test_samples_that_would_be_the_same_are_refused_when_the_recipe_is_read(tmp_path: Path) -> None:
    policy = {"name": "small", "kind": "openai", "model": "m", "temperature": 0}
    write_jsonl(tmp_path / "rows.jsonl", wide(1))
    with pytest.raises(RecipeError, match=r"samples: 3 at temperature 0 .* set samples: 1"):
        recipe_of(tmp_path, "rows.jsonl", policies=[{**policy, "samples": 3}])
    recipe_of(tmp_path, "rows.jsonl", policies=[{**policy, "samples": 1}])
    recipe_of(tmp_path, "rows.jsonl", policies=[{**policy, "samples": 2, "system": ["Be brief.", "Be kind."]}])
