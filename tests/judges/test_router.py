"""Prompts sorted into domains by a model: what is asked, kept, retried, planned, and shown to the judge."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import build, recipe_of, table, wide, write_jsonl
from replay_server import App, Settings, serving
from tiny_models import TINY

from pairwright.assets.judging import likelihood
from pairwright.assets.judging.domains import domains_table, routers_of
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.doctor import examine
from pairwright.pipelines.plan import plan
from pairwright.pipelines.run import build as build_job
from pairwright.schemas.errors import PairwrightError, RecipeError
from pairwright.schemas.recipe import Recipe

DOMAINS = {"chat": {"instruction": "Chat."}, "code": {"instruction": "Code."}}


def by_number(body: dict[str, Any]) -> str:
    """Questions with an even number are about code."""
    number = int(body["messages"][-1]["content"].split("question ")[1].split(":")[0])
    return json.dumps({"rationale": f"it is {number}", "domain": "chat" if number % 2 else "code"})


def routed(folder: Path, url: str, rows: list[dict[str, Any]] | None = None, **router: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", rows or wide(6))
    judge = {
        "kind": "density-ratio",
        "strong": str(TINY / "strong"),
        "weak": str(TINY / "weak"),
        "domains": DOMAINS,
        "router": {"model": "m", "base_url": url, "domains": {"chat": "talk", "code": "programs"}, **router},
    }
    return recipe_of(folder, "rows.jsonl", judges=[judge])


def domains(recipe: Recipe, data: Path) -> dict[str, str | None]:
    """Prompt's number → the domain that the router found."""
    workspace = Workspace.of(recipe, data)
    found = table(workspace, domains_table(routers_of(recipe)[0])).join(table(workspace, "prompts"), on="prompt_id")
    return {
        messages[-1]["content"].split()[1].rstrip(":"): domain
        for messages, domain in found.select("messages", "domain").iter_rows()
    }


def evidence(recipe: Recipe, data: Path) -> dict[str, int]:
    """Domain → how many responses the strong model has read under it."""
    rows = table(Workspace.of(recipe, data), likelihood.passes(recipe)[0].table)
    return dict(rows.get_column("evidence").value_counts().iter_rows())


def test_each_prompt_is_sorted_once_and_read_behind_its_domain(tmp_path: Path) -> None:
    app = App(Settings(), by_number)
    with serving(app) as url:
        recipe = routed(tmp_path, url)
        assert plan(recipe, Workspace.of(recipe, tmp_path / "data")).total.calls == 6
        assert not app.sent
        build(recipe, tmp_path / "data")
        assert len(app.sent) == 6
        assert domains(recipe, tmp_path / "data") == {str(i): "chat" if i % 2 else "code" for i in range(6)}
        assert evidence(recipe, tmp_path / "data") == {"chat": 12, "code": 12}
        build(recipe, tmp_path / "data")
        assert plan(recipe, Workspace.of(recipe, tmp_path / "data")).total.calls == 0
    assert len(app.sent) == 6


def test_a_domain_that_the_source_names_is_not_paid_for(tmp_path: Path) -> None:
    given = ["chat", "code", "cooking", None, "", "chat"]
    rows = [{**row, "domain": one} for row, one in zip(wide(6), given, strict=True)]
    app = App(Settings(), by_number)
    with serving(app) as url:
        recipe = routed(tmp_path, url, rows)
        build(recipe, tmp_path / "data")
    assert domains(recipe, tmp_path / "data") == {"2": "code", "3": "chat", "4": "code"}
    assert evidence(recipe, tmp_path / "data") == {"chat": 12, "code": 12}


def test_what_could_not_be_sorted_counts_as_the_first_domain_until_it_can(tmp_path: Path) -> None:
    answers = {"good": False}

    def moody(body: dict[str, Any]) -> str:
        found = by_number(body)
        return found if answers["good"] or "question 3:" not in body["messages"][-1]["content"] else '{"domain": "art"}'

    with serving(App(Settings(), moody)) as url:
        recipe = routed(tmp_path, url)
        release = build(recipe, tmp_path / "data")
        assert domains(recipe, tmp_path / "data")["3"] is None
        assert evidence(recipe, tmp_path / "data") == {"": 4, "chat": 8, "code": 12}
        answers["good"] = True
        again = build(recipe, tmp_path / "data")
    assert domains(recipe, tmp_path / "data")["3"] == "chat"
    assert evidence(recipe, tmp_path / "data") == {"": 4, "chat": 12, "code": 12}
    assert release.manifest["costs"]["router"]["calls"] == 8  # three tries at one of the six
    assert again.manifest["counts"] == release.manifest["counts"] if again.fresh else again.path == release.path


def test_another_address_sorts_nothing_again_and_other_words_do(tmp_path: Path) -> None:
    app = App(Settings(), by_number)
    with serving(app) as url:
        first = routed(tmp_path, url)
        build(first, tmp_path / "data")
        build(routed(tmp_path, url.replace("127.0.0.1", "localhost"), concurrency=2), tmp_path / "data")
        assert len(app.sent) == 6
        other = routed(tmp_path, url, domains={"chat": "talk", "code": "anything with a program"})
        build(other, tmp_path / "data")
    assert len(app.sent) == 12
    assert first.judges[0].fingerprint == other.judges[0].fingerprint


def test_a_budget_stops_sorting_with_all_paid_work_kept(tmp_path: Path) -> None:
    app = App(Settings(), by_number)
    with serving(app) as url:
        recipe = routed(tmp_path, url, concurrency=1)
        poor = recipe.model_copy(update={"budget": recipe.budget.model_copy(update={"calls": 4})})
        with pytest.raises(PairwrightError, match=r"budget\.calls is 4"):
            build_job(poor, tmp_path / "data")
        assert len(app.sent) == 4
        build_job(recipe, tmp_path / "data")
    assert len(app.sent) == 6


def test_the_doctor_looks_at_the_router(tmp_path: Path) -> None:
    app = App(Settings(), by_number)
    with serving(app) as url:
        (checked,) = examine(routed(tmp_path, url))
    assert checked.name == "router" and {one.feature for one in checked.findings} >= {"chat", "schema"}


def test_a_router_and_its_judge_have_the_same_domains(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="it must have those of domains: chat, code"):
        routed(tmp_path, "http://127.0.0.1:1", domains={"chat": "talk", "art": "pictures"})
