"""The likelihoods tables: one pass a model, kept, completed when more is asked, resumed after a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import TESTS, all_files, build, data_files, recipe_of, table, wide, write_jsonl
from tiny_models import TINY, backend, tiny

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging import likelihood
from pairwright.assets.storage.store import Workspace
from pairwright.models.local import loading
from pairwright.models.local.request import PassRequest
from pairwright.schemas.errors import JudgeError, RecipeError
from pairwright.schemas.recipe import Recipe

STRONG, WEAK = str(TINY / "strong"), str(TINY / "weak")
ASKING = [
    {"kind": "density-ratio", "strong": STRONG, "weak": WEAK},
    {"kind": "follow-up", "model": STRONG, "remarks": 1},
    {"kind": "policy-likelihood", "model": STRONG},
    {"kind": "implicit-reward", "policy": STRONG, "reference": WEAK},
]


class Counted:
    """A backend that counts what it reads and may end its process."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.inner, self.read_texts, self.dies_after = backend(), 0, dies_after
        self.tokenizer, self.limit = self.inner.tokenizer, self.inner.limit

    def read(self, groups: Any) -> Any:
        if self.dies_after is not None and self.read_texts >= self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.read_texts += sum(len(group) for group in groups)
        return self.inner.read(groups)


def likely(folder: Path, count: int = 12, **parts: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", wide(count))
    return recipe_of(folder, "rows.jsonl", **{"judges": ASKING, **parts})


def read_with(need: PassRequest, workspace: Workspace, model: Counted) -> int:
    return sum(likelihood.read_shard(need, workspace, shard, lambda: model) for shard in workspace.each_shard())


def test_judges_and_filters_share_one_pass_a_model(tmp_path: Path):
    filters = [{"kind": "ches", "model": STRONG}, {"kind": "difficulty", "model": WEAK}]
    recipe = likely(tmp_path, 6, filters=filters, release={"reference_model": WEAK})
    assert len(likelihood.passes(recipe)) == 2
    made = build(recipe, tmp_path / "data")
    pairs = pl.concat([pl.read_parquet(path) for path in sorted((made.path / "pairs").glob("*.parquet"))])
    assert pairs.height == 6
    difficulty = pairs["ref_rejected_logps"] - pairs["ref_chosen_logps"]
    assert difficulty.to_list() == pytest.approx(pairs["filter_difficulty"].to_list())
    assert pairs["filter_ches"].null_count() == 0
    before = all_files(tmp_path / "data")
    assert not build(recipe, tmp_path / "data").fresh
    assert all_files(tmp_path / "data") == before


@pytest.mark.parametrize(
    ("strong", "weak"),
    [
        (STRONG, {"id": STRONG, "device": "cpu"}),
        tuple({"id": STRONG, "base_url": f"http://127.0.0.1:{port}/v1", "max_tokens": 99} for port in (8, 9)),
    ],
    ids=["one folder", "two servers of which the recipe says nothing different"],
)
def test_a_model_is_not_compared_with_itself(tmp_path: Path, strong: Any, weak: Any):
    recipe = likely(tmp_path, judges=[{"kind": "density-ratio", "strong": strong, "weak": weak}])
    with pytest.raises(RecipeError, match=r"judge density-ratio: its models .* are the same one"):
        likelihood.passes(recipe)


def test_what_a_server_calls_a_model_tells_models_of_one_tokenizer_apart():
    server: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "max_tokens": 99}
    one, two, moved = (
        PassRequest(tiny(**{**server, **other})).key
        for other in ({"served_as": "a"}, {"served_as": "b"}, {"served_as": "a", "base_url": "http://127.0.0.1:8/v1"})
    )
    assert one != two and one == moved
    assert PassRequest(tiny(served_as="a")).key == PassRequest(tiny()).key, "nobody serves it"


def test_same_input_same_bytes(tmp_path: Path):
    recipe = likely(tmp_path, 6, filters=[{"kind": "ches", "model": STRONG, "keep_fraction": 0.5}])
    one, two = build(recipe, tmp_path / "one"), build(recipe, tmp_path / "two")
    assert data_files(one.path) == data_files(two.path)


def test_another_share_of_ches_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for share, measure in ((0.5, "ln-ches"), (0.25, "ches"), (1.0, "last-hidden")):
        chosen = {"kind": "ches", "model": STRONG, "keep_fraction": share, "measure": measure}
        made = build(likely(tmp_path, filters=[chosen]), tmp_path / "data")
        assert made.manifest["funnel"][-1]["left"] == 12 * share
        monkeypatch.setattr(likelihood, "load", lambda model: pytest.fail("a model was loaded"))


def test_only_what_is_missing_is_read(tmp_path: Path):
    recipe = likely(tmp_path)
    workspace = Workspace.of(recipe, tmp_path / "data")
    build(recipe, tmp_path / "data")
    grown = likely(tmp_path, count=14)
    likelihood_need = PassRequest(tiny())
    from pairwright.assets.intake.source import take_in

    take_in(grown, workspace)
    model = Counted()
    assert read_with(likelihood_need, workspace, model) == 8 == model.read_texts
    more = PassRequest(tiny(), follow_ups=("Thanks.",))
    assert read_with(more, workspace, model) == 14 * 4, "a remark that nobody asked for yet"
    assert read_with(more, workspace, model) == 0
    assert read_with(PassRequest(tiny(), wants=frozenset({"hidden"})), workspace, model) == 14 * 4
    rows = table(workspace, more.table)
    assert rows["gram"].list.len().to_list() == [4] * 56
    heard = rows["follow_ups"].list.len()
    assert sorted(heard.unique().to_list()) == [1, 13], "what was paid for before is kept"


def test_a_new_response_completes_the_whole_prompts_gram_matrix(tmp_path: Path):
    write_jsonl(tmp_path / "rows.jsonl", wide(3, responses=3))
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=ASKING[:1])
    workspace = Workspace.of(recipe, tmp_path / "data")
    from pairwright.assets.intake.source import take_in

    need = PassRequest(tiny(), wants=frozenset({"hidden"}))
    take_in(recipe, workspace)
    assert read_with(need, workspace, Counted()) == 9
    rows = wide(3, responses=3)
    rows[0]["responses"].append("one more")
    rows[0]["policies"].append("another")
    write_jsonl(tmp_path / "rows.jsonl", rows)
    take_in(recipe, workspace)
    assert read_with(need, workspace, Counted()) == 4
    assert sorted(table(workspace, need.table)["gram"].list.len().to_list()) == [3] * 6 + [4] * 4


def test_killed_and_resumed(tmp_path: Path):
    recipe = likely(tmp_path, count=20, shards=1)
    workspace = Workspace.of(recipe, tmp_path / "data")
    from pairwright.assets.intake.source import take_in

    take_in(recipe, workspace)
    script = "\n".join(
        (
            "import sys; sys.path.insert(0, sys.argv[1])",
            "from test_likelihood import *",
            "from pairwright.models.local import engine",
            "engine.WINDOW = 1",
            "workspace = Workspace(Path(sys.argv[2]), 'tested', 1)",
            "read_with(PassRequest(tiny()), workspace, Counted(dies_after=24))",
        )
    )
    paths = [str(Path(__file__).parent), str(tmp_path / "data")]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    dead = subprocess.run(
        [sys.executable, "-c", script, *paths], env=environment, capture_output=True, text=True, check=False
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    model = Counted()
    assert read_with(PassRequest(tiny()), workspace, model) == 80 - 24 == model.read_texts
    again = Workspace(tmp_path / "other", "tested", 1)
    take_in(recipe, again)
    read_with(PassRequest(tiny()), again, Counted())
    killed, whole = (table(one, PassRequest(tiny()).table) for one in (workspace, again))
    assert killed.drop("logprob", "end_logprob").equals(whole.drop("logprob", "end_logprob"))
    assert killed["logprob"].to_list() == pytest.approx(whole["logprob"].to_list(), rel=1e-4)


def test_a_missing_model_is_one_line_and_changes_no_table(tmp_path: Path):
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "config.json").write_text("{}")
    recipe = likely(tmp_path, judges=[{"kind": "policy-likelihood", "model": "hollow"}])
    with pytest.raises(JudgeError, match="hollow' cannot be loaded") as error:
        build(recipe, tmp_path / "data")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "data").rglob("likelihoods/*/*.parquet"))
    assert not list((tmp_path / "data").rglob("*.arrows"))


def test_the_domain_is_part_of_what_a_customised_pass_is_known_by(tmp_path: Path):
    judge = {**ASKING[0], "domains": {"chat": {"instruction": "Chat."}, "code": {"instruction": "Code."}}}
    rows = [{**row, "domain": "chat"} for row in wide(2)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[judge])
    build(recipe, tmp_path / "data")
    workspace = Workspace.of(recipe, tmp_path / "data")
    need = likelihood.passes(recipe)[0]
    before = table(workspace, need.table)
    write_jsonl(tmp_path / "rows.jsonl", [{**rows[0], "domain": "code"}, rows[1]])
    build(recipe, tmp_path / "data")
    after = table(workspace, need.table)
    assert after.height == before.height + 4 and set(after["evidence"]) == {"chat", "code"}


def test_the_plan_counts_passes_and_tokens(tmp_path: Path):
    from pairwright.pipelines.plan import plan

    recipe = likely(tmp_path)
    workspace = Workspace.of(recipe, tmp_path / "data")
    strong, weak = (line.estimate for line in plan(recipe, workspace).lines if line.kind == "likelihoods")
    assert strong.passes == weak.passes == 48 and strong.prompt_tokens > weak.prompt_tokens > 48 * 50
    assert strong.seconds > 0 and weak.seconds > 0
    build(recipe, tmp_path / "data")
    assert plan(recipe, workspace).total.passes == 0


def test_the_pace_of_a_build_is_what_the_next_plan_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "SMALL", 0)  # as if the model were too large to be loaded for a plan
    recipe = likely(tmp_path, 24, judges=ASKING[2:3])
    workspace, need = Workspace.of(recipe, tmp_path / "data"), likelihood.passes(recipe)[0]
    take_in(recipe, workspace)
    before = likelihood.estimate(need, workspace)
    assert before.passes == 96 and before.seconds == 0.0
    assert read_with(need, workspace, Counted()) == 96
    pace = json.loads((workspace.root / need.table / "pace.json").read_text())["seconds_per_token"]
    write_jsonl(tmp_path / "rows.jsonl", wide(48))
    take_in(recipe, workspace)
    after = likelihood.estimate(need, workspace)
    assert after.passes == 96 and after.seconds == pytest.approx(pace * after.prompt_tokens, rel=1e-6)


def test_passes_over_responses_yet_to_be_sampled_have_tokens(tmp_path: Path):
    from pairwright.pipelines.plan import plan

    policy = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "samples": 2, "max_tokens": 40}
    recipe = likely(tmp_path, judges=ASKING[2:3], policies=[policy])
    (line,) = (one for one in plan(recipe, Workspace.of(recipe, tmp_path / "data")).lines if one.kind == "likelihoods")
    assert line.estimate.passes == 12 * (4 + 2) and line.estimate.prompt_tokens > 72 * 50
