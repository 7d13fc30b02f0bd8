"""Another judge kind is one file and one template: written here into a folder, and used by a recipe as any other."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from helpers import wide, write_jsonl
from replay_server import FINE, SHOWN, App, Settings, serving

MODULE = '''
"""Whether a response has what a checklist asks for."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pairwright.models.serving.answers import failure_of, joined, text_of
from pairwright.judges.llm.base import Ask, LlmJudge, Prompt, Unit
from pairwright.models.serving.call import Answer
from pairwright.judges.llm.parse import read_choice
from pairwright.judges.llm.prompts import Shown, render
from pairwright.models.serving.reply import Choice


class LlmChecklist(LlmJudge):
    """Checks each item; a score is the share of the items that a response has."""

    kind: Literal["llm-checklist"] = "llm-checklist"
    items: list[str] = ["It answers the question."]

    def units(self, prompt: Prompt, wanted: list[tuple[str, ...]]) -> Iterator[tuple[Any, list[Ask]]]:
        for (response,) in wanted:
            yield response, [Ask([response], item, vote) for item in self.items for vote in range(self.votes)]

    def chat(self, prompt: Prompt, ask: Ask) -> tuple[str, dict[str, Any]]:
        shown = [Shown("A", prompt.responses[ask.shown[0]])]
        text = render(self.template_source, messages=prompt.messages, responses=shown, item=ask.purpose)
        return text, self.answer_schema({"rationale": {"type": "string"}, "met": {"enum": ["yes", "no"]}})

    def read(self, prompt: Prompt, ask: Ask, choice: Choice) -> float:
        return float(read_choice(choice.text, "met", ["yes", "no"])[0] == "yes")

    def rows(self, unit: Unit, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        failure = failure_of(answers)
        score = None if failure else sum(one.value for one in answers) / len(answers)
        return [{"prompt_id": unit.prompt.prompt_id, "response_id": unit.subject, "criterion": "checklist",
                 "score": score, "failure": failure, "retry": failure is not None,
                 "raw": joined([text_of(one) for one in answers]), "cost_usd": sum(one.cost_usd for one in answers)}]
'''
TEMPLATE = """Does the response meet this: {{ item }}
{% for response in responses %}
BEGIN RESPONSE {{ response.label }} {{ mark }}
{{ response.text }}
END RESPONSE {{ response.label }} {{ mark }}
{% endfor %}
Answer with {"rationale": "…", "met": "yes" or "no"}."""
RUN = """
import sys
import pairwright.judges
pairwright.judges.__path__.append(sys.argv[1])
from pairwright.cli import main
for command in ("plan", "build", "build"):
    main([command, *sys.argv[2:]], standalone_mode=False)
"""


def checks(body: dict[str, Any]) -> str:
    text = body["messages"][-1]["content"]
    ((_, _, response),) = SHOWN.findall(text)
    return json.dumps({"rationale": "r", "met": "yes" if len(response) > (60 if "long" in text else 0) else "no"})


def test_one_file_and_one_template(tmp_path: Path) -> None:
    (tmp_path / "more" / "templates").mkdir(parents=True)
    (tmp_path / "more" / "llm_checklist.py").write_text(MODULE)
    (tmp_path / "more" / "templates" / "checklist-v1.jinja").write_text(TEMPLATE)
    write_jsonl(tmp_path / "rows.jsonl", wide(6))
    app = App(Settings(fault_rate=0.1, faults=("500", "empty"), seed=3), checks)
    with serving(app) as url:
        judge = {"kind": "llm-checklist", "model": "m", "base_url": url, "items": ["It is long.", "It is there."]}
        recipe = {"dataset": "own", "prompts": {"source": "rows.jsonl"}, "judges": [judge], "shards": 2}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))

        line = [sys.executable, "-c", RUN, str(tmp_path / "more"), str(tmp_path / "recipe.yaml")]
        done = subprocess.run([*line, "--data", str(tmp_path / "data")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "llm-checklist" in done.stdout, "estimates come with the base class"
    good = [key for key, fault in app.sent if fault in FINE]
    assert len(good) == len(set(good)) == 6 * 4 * 2, "so do calls, retries and the journal: each call is made once"
    rows = pl.concat([pl.read_parquet(path) for path in tmp_path.glob("data/own/verdicts/llm-checklist-*/*.parquet")])
    assert rows.height == 24 and set(rows.get_column("score")) == {0.5, 1.0}
