"""A plan says what a build would do, and leaves no trace."""

from pathlib import Path

from helpers import all_files, build, recipe_of, wide, write_jsonl

from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.plan import plan


def test_a_plan_for_what_was_never_built_leaves_no_folder(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(6))
    made = plan(recipe_of(tmp_path, "rows.jsonl"), Workspace(tmp_path / "data", "tested", 2))
    assert (made.intake.prompts, made.total.verdicts) == (6, 24)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_plan_knows_what_is_there_and_changes_nothing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(6))
    recipe = recipe_of(tmp_path, "rows.jsonl")
    build(recipe, tmp_path / "data")
    before = all_files(tmp_path / "data")
    workspace = Workspace.of(recipe, tmp_path / "data")
    made = plan(recipe, workspace)
    assert not made.total.verdicts and not made.intake.fresh, "the sources are not read again"
    assert not plan(recipe_of(tmp_path, "rows.jsonl", shards=3), workspace._replace(shards=3)).total.verdicts
    assert not plan(recipe_of(tmp_path, "rows.jsonl", dataset="new"), workspace._replace(dataset="new")).total.verdicts
    write_jsonl(tmp_path / "rows.jsonl", wide(7))
    assert plan(recipe, workspace).total.verdicts == 4
    assert all_files(tmp_path / "data") == before


def test_a_plan_is_right_while_a_build_replaces_the_tables(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(6))
    recipe = recipe_of(tmp_path, "rows.jsonl")
    build(recipe, tmp_path / "data")
    write_jsonl(tmp_path / "others.jsonl", wide(9, first=50))
    other = recipe_of(tmp_path, "others.jsonl")

    def disturbed() -> None:
        from pairwright.pipelines import plan as module

        whole = module.take_in

        def then_another(*given: object) -> object:
            module.take_in = whole
            made = whole(*given)  # type: ignore[arg-type]
            build(other, tmp_path / "data")
            return made

        module.take_in = then_another  # type: ignore[assignment]

    disturbed()
    made = plan(recipe, Workspace.of(recipe, tmp_path / "data"))
    assert (made.intake.prompts, made.total.verdicts) == (6, 0)
