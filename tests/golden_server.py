"""The server that the golden data folder was built against: every answer depends on the request alone.

`python tests/golden_server.py SCRATCH DATA` built the folder with the version of its day. It is not made again: what
matters is that what was paid for then stays valid.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from replay_server import App, Settings, judge_by_hash, number, serving

from pairwright.pipelines.run import build
from pairwright.schemas.reading import load_recipe

GOLDEN = Path(__file__).parent / "golden"


def answer(body: dict[str, Any]) -> str:
    """A verdict, a domain or a text."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    if "domain" in schema.get("properties", {}):
        text = body["messages"][-1]["content"]
        return json.dumps({"rationale": "so", "domain": "chat" if number(text) < 0.5 else "code"})
    return judge_by_hash(body)


def recipe_at(url: str, folder: Path) -> Path:
    """The recipe with the server's address, in a folder from which its relative paths hold."""
    path = folder / "recipe.yaml"
    path.write_text((GOLDEN / "recipe.yaml").read_text(encoding="utf-8").replace("URL", url), encoding="utf-8")
    shutil.copy(GOLDEN / "rows.jsonl", folder)
    (folder / "tiny").symlink_to(GOLDEN.parents[1] / "pipelines" / "tiny")
    return path


if __name__ == "__main__":
    scratch, data = Path(sys.argv[1]), Path(sys.argv[2])
    with serving(App(Settings(), answer)) as url:
        made = build(load_recipe(recipe_at(url, scratch)), data)
        print(made.path, made.manifest["counts"])
