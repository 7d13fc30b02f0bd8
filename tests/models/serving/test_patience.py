"""What ends a build and what does not: a server that answers nothing, a model of no use, texts that are refused."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import build, judge_all, recipe_of, table, wide, write_jsonl
from replay_server import App, Settings, judge_by_hash, reply, serving

from pairwright.assets.display.progress import Step, listening
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.sampling.sample import policies_of, sample_shard, samples_table
from pairwright.assets.storage.store import Workspace
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.wire import Wire, hint
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.recipe import Recipe


class Choosy(App):
    """Refuses what `refuses` says, at once; what it takes, it takes a moment for."""

    def __init__(self, refuses: Callable[[str], bool]) -> None:
        super().__init__(Settings(latency=0.1))
        self.refuses = refuses
        self.refused = 0

    async def complete(self, body: dict[str, Any], send: Any) -> None:
        if self.refuses(str(body.get("messages") or body.get("prompt"))):
            self.refused += 1
            return await reply(send, 400, {"error": {"message": "maximum context length is 512 tokens"}})
        return await super().complete(body, send)


def long_ones(said: str) -> bool:
    return any(f"question {i}: " in said for i in range(10))


def recipe(folder: Path, url: str, rows: list[dict[str, Any]], **options: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", rows)
    judge = {"kind": "llm-rating", "aspects": ["helpfulness"], "model": "m", "base_url": url, **options}
    return recipe_of(folder, "rows.jsonl", judges=[judge], shards=1)


def failures(made: Recipe, data: Path) -> tuple[int, int]:
    """Rows, and those that failed."""
    rows = table(Workspace.of(made, data), verdicts_table(judges_of(made)[0]))
    return rows.height, rows.get_column("failure").count()


@pytest.mark.parametrize("concurrency", [1, 32])
def test_texts_that_are_refused_end_neither_the_first_build_nor_a_later_one(concurrency: int, tmp_path: Path) -> None:
    app = Choosy(long_ones)
    if concurrency == 1:
        app.settings = Settings()
    with serving(app) as url:
        made = recipe(tmp_path, url, wide(40, responses=2), concurrency=concurrency, max_failure_share=1)
        first = build(made, tmp_path / "data")
        assert failures(made, tmp_path / "data") == (80, 20)
        answered = len(app.sent)
        assert build(made, tmp_path / "data").version == first.version, "only refused calls were left"
        assert failures(made, tmp_path / "data") == (80, 20)
        assert len(app.sent) == answered and app.refused == 40
        app.refuses = lambda said: False
        build(made, tmp_path / "data")
        assert failures(made, tmp_path / "data") == (80, 0)


def test_a_server_that_refuses_everything_stops_at_once_with_its_reason(tmp_path: Path) -> None:
    app = Choosy(lambda said: True)
    with serving(app) as url, pytest.raises(JudgeError, match=r"none of the first .* maximum context length is 512"):
        judge_all(recipe(tmp_path, url, wide(40), concurrency=4), tmp_path / "data")
    assert app.refused < 30


class Gateway(App):
    """A gateway that loses its server for a while: `manner` is 502, or drop for connections that break off."""

    manner = "502"
    out = True

    async def complete(self, body: dict[str, Any], send: Any) -> None:
        if not self.out:
            return await super().complete(body, send)
        self.bodies.append(body)
        if self.manner == "drop":
            raise ConnectionResetError
        return await reply(send, 502, b"<html>Bad Gateway</html>")


@pytest.mark.parametrize("manner", ["502", "drop"])
def test_a_gateway_without_a_server_stops_the_build_soon(
    manner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairwright.models.serving.patience.BROKEN_AFTER", 1.0)
    monkeypatch.setattr("pairwright.models.serving.live_call.backoff", lambda tries: 0.05 * 1.5**tries)
    app = Gateway(Settings())
    app.manner = manner
    write_jsonl(tmp_path / "rows.jsonl", wide(20, responses=2))
    policy = {"kind": "openai", "name": "p", "model": "m", "samples": 4, "concurrency": 8}
    with serving(app) as url:
        made = recipe_of(tmp_path, "rows.jsonl", policies=[policy | {"base_url": url}], shards=1)
        workspace = Workspace.of(made, tmp_path / "data")
        take_in(made, workspace)
        began = time.monotonic()
        with pytest.raises(JudgeError, match=r"nothing but errors for [12] s, the last: ") as caught:
            sample_shard(made, policies_of(made)[0], workspace, next(workspace.each_shard()))
        assert time.monotonic() - began < 10
    assert ("status 502: <html>Bad Gateway</html>" in str(caught.value)) == (manner == "502")
    assert not workspace.file(samples_table(policies_of(made)[0]), next(workspace.each_shard())).exists()


def test_a_server_that_has_answered_is_waited_for_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairwright.models.serving.patience.BROKEN_AFTER", 0.5)
    monkeypatch.setattr("pairwright.models.serving.live_call.backoff", lambda tries: 0.1)
    monkeypatch.setattr("pairwright.models.serving.live_call.ASK_AGAIN", 0.2)
    monkeypatch.setattr("pairwright.models.serving.ask.LOOK", 0.1)
    told: list[str] = []

    class Restarting(Gateway):
        out, since = False, 0.0

        async def complete(self, body: dict[str, Any], send: Any) -> None:
            if not self.since and len(self.sent) >= 4:
                self.since = time.monotonic()
            self.out = bool(self.since) and time.monotonic() - self.since < 2.5
            await super().complete(body, send)

    def listener(step: Step) -> None:
        told.append(step.stage)

    with serving(Restarting(Settings())) as url, listening(listener):
        made = recipe(tmp_path, url, wide(6, responses=2), concurrency=2)
        judge_all(made, tmp_path / "data")
    assert failures(made, tmp_path / "data") == (12, 0)
    assert any("waiting for http://127.0.0.1" in one and "status 502" in one for one in told)


def test_a_text_that_breaks_the_server_is_a_failure_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairwright.models.serving.patience.BROKEN_AFTER", 0.3)
    monkeypatch.setattr("pairwright.models.serving.live_call.backoff", lambda tries: 0.1)

    class Crashing(App):
        async def complete(self, body: dict[str, Any], send: Any) -> None:
            if "question 2" in str(body):
                return await reply(send, 500, {"error": {"message": "CUDA error"}})
            return await super().complete(body, send)

    with serving(Crashing(Settings())) as url:
        made = recipe(tmp_path, url, wide(3, responses=2))
        for _ in range(2):  # in the second, nothing else is left
            judge_all(made, tmp_path / "data")
            assert failures(made, tmp_path / "data") == (6, 2)


@pytest.mark.parametrize("transport", ["live", "batch"])
def test_a_judge_whose_first_answers_are_of_no_use_stops_the_build_and_is_quoted(
    transport: str, tmp_path: Path
) -> None:
    app = App(Settings(), lambda body: "I would rather not rate anybody.")
    with serving(app) as url:
        made = recipe(tmp_path, url, wide(40), concurrency=2, transport=transport, poll=0.05)
        with pytest.raises(JudgeError) as caught:
            judge_all(made, tmp_path / "data")
        said = str(caught.value)
        assert "times: no JSON object with 'rating'" in said and "I would rather not rate anybody." in said
        assert "\n" not in said
        if transport == "live":
            assert len(app.sent) <= 8 * 3 + 2, "not three times each of 160 calls"
            kept = len(app.sent)
            app.answer = judge_by_hash
            judge_all(made, tmp_path / "data")
            assert len(app.sent) - kept <= 160, "what came in counts"
            assert failures(made, tmp_path / "data")[1] <= 8


def test_a_judge_that_was_of_use_before_goes_on(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        judge_all(recipe(tmp_path, url, wide(3)), tmp_path / "data")
        app.answer = lambda body: "I would rather not rate anybody."
        made = recipe(tmp_path, url, wide(10))
        judge_all(made, tmp_path / "data")
    assert failures(made, tmp_path / "data") == (40, 28)


def test_a_policy_that_writes_nothing_stops_the_build(tmp_path: Path) -> None:
    class Empty(App):
        def body_of(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
            return self.chat_of(body, ["" for _ in range(body.get("n") or 1)], fault)

    write_jsonl(tmp_path / "rows.jsonl", wide(20, responses=2))
    with serving(Empty(Settings())) as url:
        policy = {"kind": "openai", "name": "p", "model": "m", "samples": 1, "base_url": url}
        made = recipe_of(tmp_path, "rows.jsonl", policies=[policy], shards=1)
        workspace = Workspace.of(made, tmp_path / "data")
        take_in(made, workspace)
        with pytest.raises(JudgeError, match=r"answered to any use .* times: a sample is empty"):
            sample_shard(made, policies_of(made)[0], workspace, next(workspace.each_shard()))


@pytest.mark.parametrize(
    ("status", "problem", "key", "said"),
    [
        (401, "status 401: who are you", None, "name the variable"),
        (401, "status 401: wrong key", "A_KEY", "check the key in A_KEY"),
        (404, 'status 404: {"detail":"Not Found"}', "A_KEY", "mend base_url, which often ends in /v1"),
        (404, "status 404: The model `my/m` does not exist.", "A_KEY", "check the model's name"),
        (405, "status 405: Method Not Allowed", None, "mend base_url"),
        (400, "status 400: too long", None, None),
    ],
)
def test_the_hint_goes_by_what_the_server_said(status: int, problem: str, key: str | None, said: str | None) -> None:
    endpoint = Endpoint(model="my/m", base_url="http://127.0.0.1:9", api_key_env=key)
    found = hint(endpoint, Wire(problem=problem, status=status))
    assert said in found if said else found == ""
