"""Servers that lie by silence are found out, by `doctor` and by the build."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from helpers import build, recipe_of, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.doctor_command import doctor
from pairwright.judges.llm.endpoint import Endpoint
from pairwright.judges.llm.probe import probe
from pairwright.schemas.errors import JudgeError

ALL = {"n", "logprobs", "schema", "echo"}


class Able(App):
    """A server that does it all; `lies` names what it ignores in silence, `shifted` an echo off by one."""

    async def complete(self, body: dict[str, Any], send: Any) -> None:
        if "messages" in body or "logprobs" in self.lies:
            return await super().complete(body, send)
        from replay_server import reply

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

    def body_of(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
        wanted = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
        if "zebra_count" in wanted:
            self.answer = lambda _: "Hello!" if "schema" in self.lies else json.dumps({"zebra_count": 3})
        return super().body_of(body, fault)

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
        result = CliRunner().invoke(doctor, [str(path)])
        assert result.exit_code == 1
        assert "n=2 was ignored in silence" in result.output
        assert "set logprobs: false" in result.output
        app.lies = {"n"}
        assert CliRunner().invoke(doctor, [str(path)]).exit_code == 0, "samples are drawn one by one"


def test_the_build_stops_where_log_probs_come_back_empty(tmp_path: Path) -> None:
    app = Able(Settings())
    app.lies = {"logprobs"}
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    with serving(app) as url:
        judge = {"kind": "llm-pairwise", "model": "m", "base_url": url, "logprobs": True}
        with pytest.raises(JudgeError, match="set logprobs: false"):
            build(recipe_of(tmp_path, "rows.jsonl", judges=[judge]), tmp_path / "data")
        assert len(app.sent) == 2, "two probes, and no call that would have been paid for in vain"
