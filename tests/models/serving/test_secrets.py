"""Keys and addresses: a key appears nowhere on disk or in a message, and Dagster run config moves nothing."""

import io
import logging
import traceback
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from helpers import build, judge_all, recipe_of, table, wide, write_jsonl
from replay_server import App, Settings, reply, serving

from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.pipelines.build import definitions
from pairwright.pipelines.names import every_shard, job_name
from pairwright.schemas.errors import JudgeError, RecipeError
from pairwright.schemas.recipe import Recipe

SECRET = "sk-tEsT-0123456789-abcdefgh"


class Echo(App):
    """A server that puts the key that it was sent into everything it answers, as it stands or escaped for JSON."""

    escaped = False

    async def answered(self, body: dict[str, Any], fault: str, send: Any) -> None:
        spelt = "".join(f"\\u{ord(one):04x}" for one in SECRET) if self.escaped else SECRET
        self.answer = lambda _: f'{{"rationale": "your key is {spelt}", "verdict": "A"}}'
        await super().answered(body, fault, send)


def recipe(folder: Path, url: str, **options: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", wide(6))
    judge = {"kind": "llm-pairwise", "model": "m", "base_url": url, "api_key_env": "TEST_JUDGE_KEY", "orders": "one"}
    return recipe_of(folder, "rows.jsonl", judges=[judge | options])


def run(recipe: Recipe, folder: Path, config: dict[str, Any] | None = None) -> tuple[bool, str]:
    """A run of the recipe's job in an instance of its own on disk: whether it went well, and all it said."""
    (folder / "dagster").mkdir(exist_ok=True)
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger().addHandler(handler)
    try:
        with dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
            job = definitions([recipe]).resolve_job_def(job_name(recipe))
            done = job.execute_in_process(
                instance=instance, tags=every_shard(recipe), run_config=config, raise_on_error=False
            )
            events = "\n".join(str(event) for event in instance.all_logs(done.run_id))
            return done.success, said.getvalue() + events
    except Exception:
        return False, said.getvalue() + traceback.format_exc()
    finally:
        logging.getLogger().removeHandler(handler)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("fault", ["none", "unauthorised", "down"])
def test_the_key_is_nowhere(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", SECRET)
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("pairwright.models.serving.patience.DOWN_AFTER", 1.0)

    class Refusing(Echo):
        async def complete(self, body: dict[str, Any], send: Any) -> None:
            await reply(send, 401, {"error": {"message": f"wrong key {SECRET}"}})

    app = Refusing(Settings()) if fault == "unauthorised" else Echo(Settings())
    with serving(app) as url:
        well, said = run(recipe(tmp_path, "http://127.0.0.1:9/v1" if fault == "down" else url), tmp_path)
    if fault != "down":
        assert any(SECRET in headers.get("authorization", "") for headers in app.headers), "it was sent to the server"
    assert well == (fault == "none")
    assert SECRET not in said
    found = everything(tmp_path)
    assert SECRET.encode() not in found
    assert (b"[key]" in found + said.encode()) == (fault != "down"), "what the server echoed was blotted out"


def test_nothing_but_the_named_variable_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    write_jsonl(tmp_path / "rows.jsonl", wide(6))
    app = App(Settings())
    with serving(app) as url:
        judge = {"kind": "llm-pairwise", "model": "m", "base_url": url, "orders": "one"}
        build(recipe_of(tmp_path, "rows.jsonl", judges=[judge]), tmp_path / "data")
    sent = str(app.headers)
    assert app.sent
    assert SECRET not in sent
    assert "org-secret" not in sent


@pytest.mark.parametrize("transport", ["live", "batch"])
def test_a_key_that_is_escaped_for_json_reaches_no_file(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", SECRET)
    app = Echo(Settings())
    app.escaped = True
    spelt = "".join(f"\\u{ord(one):04x}" for one in SECRET)
    app.answer = lambda _: f'{{"rationale": "your key is {spelt}", "verdict": "A"}}'
    with serving(app) as url:
        made = recipe(tmp_path, url, transport=transport, poll=0.05)
        workspace = judge_all(made, tmp_path / "data")
    rows = table(workspace, verdicts_table(judges_of(made)[0]))
    assert rows.get_column("rationale").str.contains("your key is [key]", literal=True).all()
    assert SECRET.encode() not in everything(tmp_path)


def test_half_a_key_is_in_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", SECRET)

    class Wordy(Echo):
        async def complete(self, body: dict[str, Any], send: Any) -> None:
            await reply(send, 401, {"error": {"message": "x" * 475 + SECRET}})

    with serving(Wordy(Settings())) as url, pytest.raises(JudgeError) as caught:
        judge_all(recipe(tmp_path, url), tmp_path / "data")
    assert SECRET[:6] not in str(caught.value)


def test_run_config_does_not_move_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", SECRET)
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    good, evil = App(Settings()), App(Settings())
    with serving(good) as url, serving(evil) as elsewhere:
        made = recipe(tmp_path, url)
        options = {"base_url": elsewhere, "api_key_env": "PATH"}
        names = [node.name for node in definitions([made]).resolve_job_def(job_name(made)).nodes]
        well, _ = run(made, tmp_path, {"resources": {"client": {"config": options}}})
        assert not well, "there is no such resource to configure"
        assert run(made, tmp_path, {"ops": {name: {"config": options} for name in names}})[0]
    assert good.sent
    assert not evil.headers


def test_a_secret_in_a_recipe_is_refused(tmp_path: Path) -> None:
    for url in ("http://user:pw@host/v1", "https://host/v1?api_key=x"):
        with pytest.raises(RecipeError, match="api_key_env"):
            recipe(tmp_path, url)


@pytest.mark.parametrize("transport", ["live", "batch"])
def test_headers_come_from_variables_and_their_values_are_nowhere(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_JUDGE_KEY", "another-key-123")
    monkeypatch.setenv("TEST_GATE", SECRET)
    app = Echo(Settings())
    with serving(app) as url:
        options = {"headers_env": {"X-Gate": "TEST_GATE"}, "transport": transport, "poll": 0.05}
        made = recipe(tmp_path, url, **options)
        workspace = judge_all(made, tmp_path / "data")
        if transport == "batch":
            app.answer = lambda _: f'{{"rationale": "your key is {SECRET}", "verdict": "A"}}'
        monkeypatch.delenv("TEST_GATE")
        with pytest.raises(JudgeError, match="variable TEST_GATE is not set; it must hold the header X-Gate"):
            judge_all(recipe(tmp_path, url, seed=3, **options), tmp_path / "data")
    assert app.headers and all(one["x-gate"] == SECRET for one in app.headers), "of batches, too"
    assert table(workspace, verdicts_table(judges_of(made)[0])).height
    assert SECRET.encode() not in everything(tmp_path)
