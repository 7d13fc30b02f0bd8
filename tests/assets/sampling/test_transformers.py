"""A policy in this process: what it writes, what it keeps of an interrupted build, and what a plan says of it."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import recipe_of, table, write_jsonl

from pairwright.assets.intake.source import take_in
from pairwright.assets.sampling import write
from pairwright.assets.sampling.pool import policies_of, samples_table
from pairwright.assets.sampling.sample import respond, sample_shard
from pairwright.assets.storage.store import Workspace
from pairwright.models.local import generate
from pairwright.pipelines.plan import plan
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.recipe import Recipe

pytest.importorskip("torch")

TINY = Path(__file__).parents[3] / "pipelines" / "tiny" / "strong"
SUBJECTS = ["tides", "bread", "a fox in the snow", "why the sky is blue", "iron"]


def made(folder: Path, **options: Any) -> Recipe:
    """A recipe with one policy over the tiny model."""
    write_jsonl(folder / "p.jsonl", [{"prompt": f"Tell me about {one}."} for one in SUBJECTS])
    policy = {"kind": "transformers", "name": "tiny", "model": str(TINY), "samples": 2, "max_tokens": 8} | options
    return recipe_of(folder, "p.jsonl", policies=[policy], shards=1, judges=[{"kind": "length"}])


def sampled(recipe: Recipe, folder: Path) -> tuple[Workspace, int]:
    """All samples; how many were new."""
    workspace = Workspace.of(recipe, folder / "data")
    take_in(recipe, workspace)
    return workspace, sum(
        sample_shard(recipe, policies_of(recipe)[0], workspace, one) for one in workspace.each_shard()
    )


def rows(recipe: Recipe, workspace: Workspace) -> pl.DataFrame:
    return table(workspace, samples_table(policies_of(recipe)[0])).sort("prompt_id", "number")


def test_samples_differ_and_more_of_them_leave_the_first_as_they_were(tmp_path: Path) -> None:
    recipe = made(tmp_path)
    workspace, new = sampled(recipe, tmp_path)
    first = rows(recipe, workspace)
    assert (new, first.height) == (10, 10)
    assert first.get_column("failure").null_count() == 10
    assert first.get_column("text").n_unique() == 10
    assert first.get_column("logprob").max() < 0
    assert set(first.get_column("finish_reason")) <= {"stop", "length"}
    assert sampled(recipe, tmp_path)[1] == 0
    more = made(tmp_path, samples=3)
    assert sampled(more, tmp_path)[1] == 5
    assert rows(more, workspace).filter(pl.col("number") < 2).equals(first)
    for shard in workspace.each_shard():
        respond(more, workspace, shard)
    assert set(table(workspace, "responses").get_column("policies").explode()) == {"tiny"}


def test_an_interrupted_build_keeps_every_batch_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, real, batches = made(tmp_path, batch_size=3), generate.Writer._batch, list[int]()

    def counted(self: generate.Writer, some: list[Any], how: generate.Drawing) -> Any:
        batches.append(len(some))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return real(self, some, how)

    monkeypatch.setattr(generate.Writer, "_batch", counted)
    with pytest.raises(KeyboardInterrupt):
        sampled(recipe, tmp_path)
    workspace, new = sampled(recipe, tmp_path)
    assert batches == [3, 3, 3, 3, 1], "the third batch was lost, and only that was written again"
    assert new == 4
    whole = made(tmp_path / "other", batch_size=3) if (tmp_path / "other").mkdir() is None else recipe
    assert rows(recipe, workspace).equals(rows(whole, sampled(whole, tmp_path / "other")[0]))


def test_a_plan_counts_passes_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = made(tmp_path)
    workspace = Workspace.of(recipe, tmp_path / "data")
    monkeypatch.setattr(generate.Writer, "load", lambda *_: pytest.fail("a plan loads no model to write with"))
    lines = {line.judge: line.estimate for line in plan(recipe, workspace).lines}
    assert (lines["tiny"].passes, lines["tiny"].calls, lines["tiny"].completion_tokens) == (10, 0, 80)
    assert lines["length"].verdicts == 10
    assert not (workspace.root / samples_table(policies_of(recipe)[0])).exists()


def test_a_prompt_that_does_not_fit_is_a_failure_and_the_others_are_written(tmp_path: Path) -> None:
    recipe = made(tmp_path)
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": "far " * 3_000}, {"prompt": "Tell me about tides."}])
    workspace, _ = sampled(recipe, tmp_path)
    failures = rows(recipe, workspace).get_column("failure").drop_nulls()
    assert failures.len() == 2
    assert all("leave no room" in one for one in failures)


def test_reasoning_without_an_end_fails(tmp_path: Path) -> None:
    policy = policies_of(made(tmp_path, thinking={"open": "<think>"}))[0]
    assert isinstance(policy, write.Transformers)
    row = write._row(policy, generate.Written(("p", 0), "<think>and so", "length", -1.0, 3, 4))
    assert "reasoning" in row["failure"] or "truncated" in row["failure"]
    kept = write._row(policy, generate.Written(("p", 0), "<think>so</think>yes", "stop", -1.0, 3, 4))
    assert (kept["text"], kept["reasoning"]) == ("yes", "so")


def test_a_server_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="write kind: openai"):
        made(tmp_path, model={"id": str(TINY), "base_url": "http://127.0.0.1:1/v1"})


def test_a_named_model_tells_how_it_is_sampled_and_where_it_runs(tmp_path: Path) -> None:
    entry = {"model": str(TINY), "max_tokens": 5, "temperature": 0.3, "dtype": "bfloat16"}
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": "Tell me."}])
    policy = {"kind": "transformers", "model": "small", "temperature": 0.6}
    found = policies_of(recipe_of(tmp_path, "p.jsonl", models={"small": entry}, policies=[policy]))[0]
    assert isinstance(found, write.Transformers)
    assert (found.max_tokens, found.temperature) == (5, 0.6)
    assert (found.model.id, found.model.dtype, found.model.max_tokens) == (str(TINY), "bfloat16", None)
    plain = {"kind": "transformers", "temperature": 0.6, "max_tokens": 5}
    written_out = plain | {"model": {"id": str(TINY), "dtype": "bfloat16"}}
    assert policies_of(recipe_of(tmp_path, "p.jsonl", policies=[written_out]))[0].fingerprint == found.fingerprint
