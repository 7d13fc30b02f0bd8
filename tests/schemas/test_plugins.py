"""Plug-ins that cannot be used are refused in one line, and leave nothing behind."""

from pathlib import Path

import pytest

from pairwright.schemas.errors import RecipeError
from pairwright.schemas.kinds import kinds

LENGTH = """
from typing import Literal
from pairwright.judges.base import Judge

class Mine(Judge):
    kind: Literal["length"] = "length"
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise ValueError('odd')", "ValueError: odd"),
        ("def broken(:", "SyntaxError"),
        (LENGTH, "it takes the name of the judge 'length'"),
        (None, "which is no Python file"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(
    text: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    before = kinds("judge")
    with monkeypatch.context() as patched:
        patched.setenv("PAIRWRIGHT_PLUGINS", str(file))
        with pytest.raises(RecipeError) as refused:
            kinds("judge")
    assert "mine.py" in str(refused.value) and told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert kinds("judge") == before


def test_the_page_on_plugins_shows_the_package_that_is_tested() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "plugins.md").read_text(encoding="utf-8")
    package = root / "tests" / "plugin_package" / "pairwright_example"
    sources = [path.read_text(encoding="utf-8") for path in package.glob("*.py")]
    shown = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    assert len(shown) == len(sources) - 1
    assert all(any(block in source for source in sources) for block in shown)
