"""Text is UTF-8 whatever the locale: by name in every call, and in a build where the system knows ASCII alone."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from helpers import write_jsonl

ROOT = Path(__file__).parents[1]
SOURCES = [
    path for folder in ("schemas", "models", "judges", "assets", "pipelines") for path in (ROOT / folder).rglob("*.py")
]
SOURCES += [path for folder in ("pairwright", "benchmarks") for path in (ROOT / folder).glob("*.py")]
OPENING = {"read_text", "write_text", "open", "fdopen"}
"""Calls that open text, if they are not told to open bytes."""
NO_TEXT = ("journal.open", "os.open", "Image.open")
"""Calls of these names that never do."""


def unnamed(path: Path) -> Iterator[int]:
    """Lines that open text without an encoding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if name not in OPENING or any(one.arg == "encoding" for one in node.keywords):
            continue
        given = [*node.args, *(one.value for one in node.keywords)]
        words = [one.value for one in given if isinstance(one, ast.Constant)]
        binary = any(isinstance(one, str) and "b" in one and len(one) < 4 for one in words)
        if not binary and not ast.unparse(node.func).endswith(NO_TEXT):
            yield node.lineno


def test_every_text_file_is_opened_as_utf_8_by_name() -> None:
    assert len(SOURCES) > 50
    assert [f"{path}:{line}" for path in SOURCES for line in unnamed(path)] == []


def test_a_build_where_the_system_knows_ascii_alone(tmp_path: Path) -> None:
    texts = [("Grüße — 你好", "ja, schön"), ("¿Qué tal?", "sí, señor"), ("Как дела?", "хорошо да")]
    rows = [{"prompt": said, "references": [right], "responses": [right, "no", right + " …"]} for said, right in texts]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    recipe = "# Überschrift\ndataset: tested\nprompts: {source: rows.jsonl}\njudges: [{kind: bleu}]\n"
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    narrow = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {**os.environ, **narrow}
    for name in ("PYTHONIOENCODING", "DAGSTER_HOME", "PAIRWRIGHT_DATA"):
        environment.pop(name, None)
    code = (
        "import sys; from pairwright.cli import main\n"
        "for words in (['build', 'recipe.yaml'], ['diff', 'v1', 'v1']):\n"
        "    assert main(words, standalone_mode=False) in (None, 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    assert (tmp_path / "data" / "tested" / "releases" / "v1" / "report.html").read_text(encoding="utf-8")
