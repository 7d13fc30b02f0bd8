"""Recipes as Dagster definitions: found, told apart, and run to a release with their checks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from helpers import build, data_files, recipe_of, table, wide, write_jsonl

from pairwright.assets.releasing.versions import latest
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.build import definitions
from pairwright.pipelines.names import every_shard, job_name
from pairwright.pipelines.recipes import find_recipes
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.recipe import Recipe

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(recipe: Recipe, **options: Any) -> dg.ExecuteInProcessResult:
    job = definitions([recipe]).resolve_job_def(job_name(recipe))
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, tags=every_shard(recipe), run_config=QUIET, **options)


def test_a_run_in_dagster_releases_what_the_plain_stages_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "dagster"))
    write_jsonl(tmp_path / "rows.jsonl", wide(40))
    parts = {
        "judges": [{"kind": "bleu"}, {"kind": "unigram-f1"}],
        "filters": [{"kind": "margin", "keep_fraction": 0.5}],
    }
    recipe = recipe_of(tmp_path, "rows.jsonl", release={"test_fraction": 0.3}, **parts)
    result = run(recipe)
    assert result.success
    made = latest(Workspace.of(recipe))
    assert made is not None
    plain = build(recipe, tmp_path / "plain")
    assert data_files(made.path) == data_files(plain.path)
    checks = {event.check_name: event.passed for event in result.get_asset_check_evaluations()}
    assert {"no_leakage", "sides_differ", "funnel_adds_up", "watch_rejects", "watch_ties", "watch_failures"} <= set(
        checks
    )
    assert all(passed for name, passed in checks.items() if not name.startswith("watch_"))
    assert run(recipe).success
    again = latest(Workspace.of(recipe))
    assert again is not None
    assert again.version == "v1"


def test_run_config_cannot_move_sources_or_data(tmp_path: Path) -> None:
    """Whoever may start a run may set its configuration: nothing of a recipe is in it, and nothing that is a path."""
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    repository = definitions([recipe_of(tmp_path, "rows.jsonl", schedule=NIGHTLY)]).get_repository_def()
    for node in repository.get_job("tested_build").nodes:
        assert node.definition.config_schema.as_field().config_type.given_name in (None, "Any", "AnyType")  # type: ignore[attr-defined]
        assert not node.definition.required_resource_keys - {"io_manager", "tested_builder"}  # type: ignore[attr-defined]
    for job in repository.get_all_jobs():
        found = {name for name in options(job.run_config_schema.config_type) if not name.startswith("ops.")}
        assert found == {
            "execution.config.marker_to_close",  # a label in the log
            "execution.config.step_dependency_config.require_upstream_step_success",
            "loggers.console.config.log_level",
            "loggers.console.config.name",
        }


NIGHTLY = {"relabel": "0 2 * * *"}


def options(kind: Any, name: str = "") -> Iterator[str]:
    """The names of all options under a type of Dagster's configuration."""
    if hasattr(kind, "fields"):
        for part, field in kind.fields.items():
            yield from options(field.config_type, f"{name}.{part}".strip("."))
    else:
        yield name


def test_run_config_that_names_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    job = definitions([recipe_of(tmp_path, "rows.jsonl")]).resolve_job_def("tested_build")
    elsewhere = tmp_path / "elsewhere"
    moved: dict[str, Any] = {"resources": {"io_manager": {"config": {"base_dir": str(elsewhere)}}}}
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(dg.DagsterInvalidConfigError, match="base_dir"):
        job.execute_in_process(instance=instance, run_config=QUIET | moved)
    assert not elsewhere.exists() and not (tmp_path / "data").exists()


def test_what_the_ui_shows_of_hostile_rows_is_inert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    evil = "<img src=x onerror=alert(1)> | [x](javascript:1) ![y](https://example.org/z.png)"
    rows: list[Any] = [
        {"prompt": f"{evil} {i}", "responses": [evil, evil * 3], "policies": [evil, "b"]} for i in range(9)
    ]
    rows.append({"prompt": [{"role": evil, "content": evil}]})
    write_jsonl(tmp_path / "rows.jsonl", rows)
    result = run(recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}]))
    seen = 0
    for event in result.get_asset_materialization_events():
        for value in event.materialization.metadata.values():
            if isinstance(value, dg.MarkdownMetadataValue):
                seen += "img src" in (value.md_str or "")
                assert "<img" not in value.md_str  # type: ignore[operator]
                assert "](j" not in value.md_str  # type: ignore[operator]
                assert "https://" not in value.md_str  # type: ignore[operator]
    assert seen, "the text is shown, escaped"


def test_a_failing_judge_fails_its_step_and_what_follows_not_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    write_jsonl(tmp_path / "rows.jsonl", wide(5))
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "test-counting", "log": str(tmp_path / "no" / "log")}])
    result = run(recipe, raise_on_error=False)
    assert not result.success
    workspace = Workspace.of(recipe)
    assert table(workspace, "prompts").height == 5
    assert latest(workspace) is None
    (tmp_path / "no").mkdir()
    assert run(recipe).success


def test_recipes_of_a_folder_are_found_and_broken_ones_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = {"dataset": "good", "prompts": {"source": "a.jsonl"}, "judges": [{"kind": "length"}]}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(good))
    (tmp_path / "b.yml").write_text(yaml.safe_dump(good | {"dataset": "second"}))
    (tmp_path / "c.yaml").write_text("dataset: broken\n")
    (tmp_path / "d.yaml").write_text("services: {}\n")
    (tmp_path / "e.yaml").write_bytes(b"\xff")
    (tmp_path / "f.yaml").mkdir()
    assert [recipe.dataset for recipe in find_recipes(tmp_path)] == ["good", "second"]
    assert [name in caplog.text for name in ("c.yaml", "e.yaml", "d.yaml")] == [True, True, False]


@pytest.mark.parametrize("name", ["my-set", "my_set"])
def test_two_recipes_of_one_name_are_told(tmp_path: Path, name: str) -> None:
    """Dagster's groups and jobs do not tell - from _."""
    for file, dataset in (("a", "my-set"), ("b", name)):
        content = {"dataset": dataset, "prompts": {"source": "a.jsonl"}, "judges": [{"kind": "length"}]}
        (tmp_path / f"{file}.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match="both build"):
        find_recipes(tmp_path)


def test_judges_that_differ_in_a_dash_only_are_told(tmp_path: Path) -> None:
    judges = [{"kind": "length", "name": "a-b"}, {"kind": "length", "name": "a_b"}]
    with pytest.raises(RecipeError, match="used twice"):
        recipe_of(tmp_path, "rows.jsonl", judges=judges)


def test_the_funnel_in_the_ui_is_that_of_the_present_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}], shards=1)
    for unanswered, entered in ((0, 4), (3, 7)):
        write_jsonl(tmp_path / "rows.jsonl", [*wide(4), *({"prompt": f"nobody {i}"} for i in range(unanswered))])
        shown = [
            event.materialization.metadata["funnel as a table"].value
            for event in run(recipe).get_asset_materialization_events()
            if "funnel as a table" in event.materialization.metadata
        ]
        assert f"| prompts with two ranked responses | {entered} |" in str(shown[0])


def test_names_with_dashes_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    recipe = recipe_of(tmp_path, "rows.jsonl", dataset="a-b_c", judges=[{"kind": "length", "name": "d-e"}], shards=1)
    assert run(recipe).success
