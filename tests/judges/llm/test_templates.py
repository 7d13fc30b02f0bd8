"""Templates of one's own: tried when the recipe is read, rendered under limits, and never the end of a build."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers import judge_all, recipe_of, table, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.judging.verdicts import verdicts_table
from pairwright.judges.llm import prompts, rendering
from pairwright.judges.llm.prompts import Shown, TemplateError, render
from pairwright.judges.llm.rendering import render_apart
from pairwright.judges.llm.sandbox import rendered
from pairwright.judges.llm_rating import SHIPPED
from pairwright.schemas.errors import RecipeError

SHOWN = "{% for one in responses %}{{ one.label }}: {{ one.text }}\n{% endfor %}"
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}\n{% endfor %}"


def judges(template: str, **more: Any) -> list[dict[str, Any]]:
    return [{"kind": "llm-rating", "model": "m", "aspects": ["honesty"], "template": template, **more}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x\n{{ 1 // 0 }}", "line 2: integer division or modulo by zero"),
        ("x\n\n{{ 1 + responses }}", "line 3: unsupported operand type(s) for +: 'int' and 'list'"),
        ("{{ respones }}", "line 1: 'respones' is undefined; it may use: answer_first, aspect, criteria, "),
        ("{{ responses[0].words }}", "line 1: 'Shown object' has no attribute 'words'"),
        ("{{ 'a' | shout }}", "line 1: No filter named 'shout'"),
        ("x\n{% if %}", "line 2: Expected an expression"),
        ("x\n{% for a in responses %}", "line 2: Unexpected end of template"),
        ("x\n{% include 'y' %}", "line 2: include is not allowed: a template is one file"),
        ("{% import 'y' as y %}", "line 1: import is not allowed"),
        ("{% from 'y' import z %}", "line 1: import is not allowed"),
        ("{% extends 'y' %}", "line 1: extends is not allowed"),
        ("{% macro f() %}\n{{ f() }}{% endmacro %}{{ f() }}", "line 2: maximum recursion depth exceeded"),
        ("{% for a in range(10 ** 9) %}{% endfor %}", "line 1: Range too big"),
        ("x\n{{ 'x' * 10 ** 12 }}", "line 2: it takes too much memory"),
        ("{{ '%999999999999d' % 1 }}", "line 1: it takes too much memory"),
        ("{% for a in range(99999) %}{{ 'x' * 100 }}{% endfor %}", "the prompt has more than 4,000,000 characters"),
        ("{{" + "(" * 100_000, "nested too deeply"),
        ("{{ ''.__class__.__mro__ }}", "line 1: access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ responses.append(1) }}", "line 1: access to attribute 'append' of 'list' object is unsafe"),
        (LOOP, "line 1: it computes for more than a second"),
    ],
)
def test_a_mistake_is_told_with_its_line_when_the_recipe_is_read(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.jinja").write_text(text)
    with pytest.raises(RecipeError) as raised:
        recipe_of(tmp_path, "rows.jsonl", judges=judges("mine.jinja"))
    assert f"judges[0]: template {tmp_path / 'mine.jinja'}, {message}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_computation_that_no_signal_ends_is_ended(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="it computes for more than a second"):
        render("{{ 10 ** (10 ** 10) }}", x=1)
    assert render("{{ x }}", x=1) == "1", "the next prompt has a process of its own"


def test_a_template_that_is_too_slow_too_often_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "MOST_SLOW", 1)
    monkeypatch.setattr(rendering, "_SLOW", Counter())
    with pytest.raises(TemplateError, match="it computes for more than a second"):
        render(LOOP, y=1)
    with pytest.raises(RecipeError, match="was too slow for 1 prompts") as raised:
        render(LOOP, y=2)
    assert not isinstance(raised.value, TemplateError), "this is the end, not a row"


@pytest.mark.parametrize("content", [b"\xff", None, b"x" * (1 << 21)])
def test_a_file_that_is_no_template_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.jinja"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"judges\[0\]: template .*mine\.jinja"):
        recipe_of(tmp_path, "rows.jsonl", judges=judges("mine.jinja"))


def test_the_shipped_templates_are_rendered_alike_here_and_apart() -> None:
    values = {
        "messages": [{"role": "user", "content": "{{ x }} é 😀"}],
        "references": ["r"],
        "responses": [Shown("A", "one\n"), Shown("B", "")],
        "domains": {"maths": "sums", "other": ""},
        "aspect": SHIPPED["honesty"],
        "choices": ["A", "B"],
        **dict.fromkeys(("criteria", "low", "high", "not_applicable", "answer_first", "many", "key", "mark"), "k"),
    }
    for path in (Path(prompts.__file__).parents[1] / "templates").glob("*.jinja"):
        source = path.read_text(encoding="utf-8")
        assert render_apart(source, values) == rendered(source, values), path


def test_a_template_has_labels_and_texts_by_name_and_by_place() -> None:
    source = "{% for label, text in responses %}{{ label }}{{ responses[loop.index0].text }}{{ text }}{% endfor %}"
    assert render(source, responses=[Shown("A", "x"), Shown("B", "y")]) == "AxxByy"


def test_the_process_apart_has_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(rendering, "_RUNNING", [])
    render("{{ x }} !", x=1)
    environment = Path(f"/proc/{rendering._RUNNING[-1].process.pid}/environ")
    if not environment.exists():
        pytest.skip("this system does not show the environment of a process")
    assert "sk-secret" not in environment.read_text()
    assert os.environ["OPENAI_API_KEY"] == "sk-secret"


def test_a_prompt_that_the_template_fails_for_is_a_failure_row(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(SHOWN + "\n{{ 1 // (responses[0].text.count('boom') - 1) }}")
    rows = [{"prompt": f"p{i}", "responses": [f"fine {i}", f"{'boom' if i == 2 else 'well'} {i}"]} for i in range(4)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    app = App(Settings(), lambda body: json.dumps({"rationale": "r", "rating": 3}))
    with serving(app) as url:
        recipe = recipe_of(tmp_path, "rows.jsonl", judges=judges("mine.jinja", base_url=url), shards=1)
        workspace = judge_all(recipe, tmp_path / "data")
    verdicts = table(workspace, verdicts_table(recipe.judges[0]))  # type: ignore[arg-type]
    failed = verdicts.drop_nulls("failure")
    assert verdicts.get_column("score").count() == len(app.sent) == 7, "what was not rendered was not asked"
    assert failed.get_column("failure").to_list() == [
        "the template gives no prompt: line 3: integer division or modulo by zero"
    ]
    assert failed.get_column("cost_usd").sum() == 0 and failed.get_column("retry").all()
