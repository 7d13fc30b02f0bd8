"""Fields that a server refuses, as reasoning models' do: found out once, left out or replaced, and told in time."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from helpers import build, recipe_of, table, wide, write_jsonl
from reasoning_server import WORDS, Reasoner
from replay_server import App, Settings, reply, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.sampling import sample
from pairwright.assets.sampling.pool import policies_of, samples_table
from pairwright.assets.storage.reply_ledger import costs
from pairwright.assets.storage.store import Workspace
from pairwright.doctor_command import doctor
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.fields import blamed
from pairwright.models.serving.probe import probe
from pairwright.pipelines.doctor import examine
from pairwright.pipelines.plan import plan
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.reading import load_recipe
from pairwright.schemas.recipe import Recipe


def duel(url: str, **options: Any) -> dict[str, Any]:
    return {"kind": "llm-pairwise", "model": "o", "base_url": url, "orders": "one", **options}


def policy(url: str, **options: Any) -> dict[str, Any]:
    return {"kind": "openai", "name": "thinker", "model": "o", "base_url": url, "samples": 2, **options}


def recipe(folder: Path, url: str, *policies: dict[str, Any], **judge: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", wide(4, responses=2))
    return recipe_of(folder, "rows.jsonl", judges=[duel(url, **judge)], policies=list(policies))


def drawn(made: Recipe, data: Path) -> Workspace:
    """The samples and responses."""
    workspace = Workspace.of(made, data)
    take_in(made, workspace)
    for shard in workspace.each_shard():
        sample.sample_shard(made, policies_of(made)[0], workspace, shard)
        sample.respond(made, workspace, shard)
    return workspace


def whole(made: Recipe, data: Path) -> None:
    """All stages, as the job runs them."""
    drawn(made, data)
    build(made, data)


def written(folder: Path, made: Recipe) -> Recipe:
    """The recipe as a file, for a whole job."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(made.model_dump(mode="json", exclude_unset=True)), encoding="utf-8")
    return load_recipe(path)


@pytest.mark.parametrize("transport", ["live", "batch"])
def test_a_reasoning_model_judges_and_writes_at_its_own_terms(transport: str, tmp_path: Path) -> None:
    app = Reasoner()
    options = {"transport": transport, "poll": 0.05}
    with serving(app) as url:
        made = recipe(tmp_path, url, policy(url, **options), **options)
        whole(made, tmp_path / "data")
        asked = [*app.bodies, *(one["body"] for one in lines(app))]
        assert asked and all(not set(WORDS) & body.keys() for body in asked)
        assert {body["max_completion_tokens"] for body in asked} == {1024}
        assert {body.get("n") for body in app.probes} <= {None, 2}
        count, refusals = len(asked), app.refusals
        assert refusals == len({"max_tokens", "temperature", "top_p", "seed", "n"}) + 1, "of probes alone"
        workspace = Workspace.of(made, tmp_path / "data")
        responses = table(workspace, "responses")
        sampled = responses.filter(pl.col("policies").list.contains("thinker"))
        assert sampled.get_column("reasoning").null_count() == 0 and not sampled.is_empty()
        assert responses.filter(pl.col("reasoning").is_null()).height == 8, "those of the source"
        (judge,) = judges_of(made)
        verdicts = table(workspace, verdicts_table(judge))
        assert verdicts.get_column("failure").null_count() == verdicts.height, "no draft was read"
        assert verdicts.get_column("raw").str.contains("<think>\nPerhaps").all(), "but it is kept"
        told = costs([judge, *policies_of(made)], workspace)
        assert all(one["reasoning_tokens"] == 100 * one["calls"] for one in told.values())
        whole(made, tmp_path / "data")
        assert len([*app.bodies, *lines(app)]) == count and app.refusals == refusals, "nothing is asked again"


def lines(app: App) -> list[Any]:
    """The requests of all batches."""
    named = [one["input_file_id"] for one in app.batches.made.values() if one["status"] == "completed"]
    return [json.loads(line) for name in named for line in app.batches.files.get(name, b"").splitlines()]


@pytest.mark.parametrize(
    ("part", "options", "told"),
    [
        (
            "judge",
            {"temperature": 0.3},
            "refuses temperature: 0.3 .*Only the default .1. value .*leave temp",
        ),
        ("judge", {"logprobs": True}, "not allowed to request logprobs.*set logprobs: false"),
        ("judge", {"top_p": 0.9}, "refuses top_p: 0.9 .*or write 1"),
        ("judge", {"seed": 7}, "refuses seed: 7"),
        ("policy", {"logprobs": True}, "refuses logprobs: True .*leave logprobs out"),
        ("policy", {"stop": ["\n"]}, "refuses stop"),
    ],
)
def test_what_the_recipe_asks_for_in_vain_is_told_by_the_plan(
    part: str, options: dict[str, Any], told: str, tmp_path: Path
) -> None:
    app = Reasoner()
    with serving(app) as url:
        mine = {"policy": options} if part == "policy" else {}
        judge = options if part == "judge" else {}
        made = recipe(tmp_path, url, *([policy(url, **mine["policy"])] if mine else []), **judge)
        workspace = Workspace.of(made, tmp_path / "data")
        with pytest.raises(JudgeError, match=told) as caught:
            plan(made, workspace)
        assert "\n" not in str(caught.value)
        if part == "judge":
            with pytest.raises(JudgeError, match=told):
                build(made, tmp_path / "data")
        assert not app.bodies, "nothing was asked in vain"
        assert not all(one.fit for one in examine(made))


def test_what_is_the_same_as_the_default_may_be_written(tmp_path: Path) -> None:
    app = Reasoner()
    with serving(app) as url:
        made = recipe(tmp_path, url, temperature=1, top_p=1.0, votes=2)
        assert plan(made, Workspace.of(made, tmp_path / "data")).total.calls == 4 * 2
        build(made, tmp_path / "data")
    assert app.bodies and all(body["temperature"] == 1 and "top_p" not in body for body in app.bodies)


def test_the_doctor_says_what_calls_go_without(tmp_path: Path) -> None:
    with serving(Reasoner()) as url:
        made = written(tmp_path, recipe(tmp_path, url))
        result = CliRunner().invoke(doctor, [str(made.path), "--data", str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    assert "Use 'max_completion_tokens' instead.; calls go with max_completion_tokens" in result.output
    assert "takes temperature=0" in result.output and "calls go without it" in result.output
    assert "sends its reasoning apart, and counts its tokens" in result.output


def test_a_model_that_would_have_thought_on_gets_more_room() -> None:
    class Hasty(Reasoner):
        async def complete(self, body: dict[str, Any], send: Any) -> None:
            if body["max_completion_tokens"] < 1000:
                said = "Could not finish the message because max_tokens or model output limit was reached."
                return await reply(send, 400, {"error": {"message": said}})
            return await super().complete(body, send)

    wanted = {"takes max_tokens", "takes temperature=0", "schema"}
    with serving(Hasty()) as url:
        found = {one.feature: one.state for one in probe(Endpoint(model="m", base_url=url), wanted)}
    no = dict.fromkeys(["takes max_tokens", "takes temperature=0"], "no")
    assert found == {"chat": "yes", "reasoning": "yes", "schema": "yes"} | no


class Mute(App):
    """Refuses `gone` without saying which of the fields it dislikes."""

    gone = ("seed", "top_p")

    async def complete(self, body: dict[str, Any], send: Any) -> None:
        if set(self.gone) & body.keys():
            return await reply(send, 422, {"error": {"message": "Extra inputs are not permitted"}})
        return await super().complete(body, send)


def test_where_a_refusal_names_nothing_the_fields_are_tried_one_by_one() -> None:
    wanted = {"takes seed", "takes top_p=1", "takes max_tokens", "takes temperature=0"}
    with serving(Mute(Settings())) as url:
        found = {one.feature: one.state for one in probe(Endpoint(model="m", base_url=url), wanted)}
    assert found == {"chat": "yes"} | {one: "no" if "seed" in one or "top_p" in one else "yes" for one in wanted}


@pytest.mark.parametrize(
    ("problem", "name"),
    [
        (WORDS["max_tokens"], "max_tokens"),
        (WORDS["temperature"].format(value=0.3), "temperature"),
        (WORDS["seed"], "seed"),
        (
            '{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs"}]}',
            "seed",
        ),
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", "temperature"),
        ('Invalid JSON payload received. Unknown name "topK": Cannot find field.', "top_k"),
        ("property 'logprobs' is unsupported", "logprobs"),
        ("use max_completion_tokens", None),
        ("I do not like it", None),
    ],
)
def test_whom_a_refusal_blames(problem: str, name: str | None) -> None:
    fields = ["max_tokens", "temperature", "top_p", "seed", "logprobs", "top_k"]
    assert blamed(problem, fields) == name


def test_plain_servers_get_just_what_they_always_got(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        build(recipe(tmp_path, url, orders="both"), tmp_path / "data")
    usual = {"model", "temperature", "top_p", "max_tokens", "seed", "messages", "response_format"}
    assert all(body.keys() == usual for body in app.bodies)
    assert len(app.probes) == 2, "the fields, then the schema"


def test_thinking_that_is_cut_is_a_failure_of_its_own(tmp_path: Path) -> None:
    app = Reasoner(field=None)
    app.endless = True
    with serving(app) as url:
        made = recipe(tmp_path, url, policy(url, samples=1, max_failure_share=1), max_failure_share=1)
        workspace = drawn(made, tmp_path / "data")
        rows = table(workspace, samples_table(policies_of(made)[0]))
        assert rows.get_column("failure").str.starts_with("truncated thinking: max_tokens was reached").all()
        assert rows.get_column("retry").all() and rows.get_column("raw").is_not_null().all()
        app.endless, asked, refusals = False, len(app.bodies), app.refusals
        for _ in range(2):
            drawn(made, tmp_path / "data")
        assert len(app.bodies) - asked == rows.height and app.refusals == refusals, "what failed is asked again, once"
        assert table(workspace, samples_table(policies_of(made)[0])).get_column("failure").null_count() == rows.height
