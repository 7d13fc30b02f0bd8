"""Two judges on servers of their own against the slower of them alone: how much of the other's time a build saves."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.llm import _server
from benchmarks.synthetic import write_source
from pairwright.assets.flow import flow
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.coordinator import Coordinator
from pairwright.schemas.reading import load_recipe

PROMPTS = 400
"""With four responses each, of which every one is rated."""
CONCURRENCY = (16, 24)
"""Of the two judges: the first takes half as long again."""
ROUNDS = 2


def measure(prompts: int = PROMPTS, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of both judges' verdicts over those of the slower one, the best of some by turns."""
    with tempfile.TemporaryDirectory() as scratch, _server() as first, _server() as second:
        folder = Path(scratch)
        write_source(folder / "source.parquet", prompts)
        _judged(folder, "warm", [first])
        ways = {"slower": [first], "both": [first, second]}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            for way, urls in ways.items():
                seconds[way].append(_judged(folder, f"{way}{number}", urls))
                print(f"{way}: {seconds[way][-1]:.1f} s", file=sys.stderr)
    return {"two_endpoints_vs_slower": min(seconds["both"]) / min(seconds["slower"])}


def _judged(folder: Path, name: str, urls: list[str]) -> float:
    """Seconds that the verdicts take, the intake left out."""
    judges: list[dict[str, Any]] = [
        {
            "name": f"rating{i}",
            "kind": "llm-rating",
            "model": f"m{i}",
            "base_url": url,
            "aspects": ["helpfulness"],
            "concurrency": CONCURRENCY[i],
        }
        for i, url in enumerate(urls)
    ]
    columns = {"prompt": "prompt", "responses": [f"r{i}" for i in range(4)]}
    source = {"source": "source.parquet", "columns": columns}
    path = folder / f"{name}.yaml"
    content = {"dataset": name, "prompts": source, "shards": 2, "judges": judges}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    recipe = load_recipe(path)
    workspace = Workspace.of(recipe, folder / "data" / name)
    stages, shards = {stage.name: stage for stage in flow(recipe)}, list(workspace.each_shard())
    with Coordinator(recipe, workspace, 1) as run:
        run.begin(list(stages), shards)
        for table in ("prompts", "responses"):
            run.bring_up([stages[table]], shards)
        start = time.perf_counter()
        for judge in judges:
            run.bring_up([stages[f"verdicts/{judge['name']}"]], shards)
        return time.perf_counter() - start


if __name__ == "__main__":
    print(measure(*map(int, sys.argv[1:])))
