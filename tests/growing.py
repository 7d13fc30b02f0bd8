"""A data set that grows by edits: built in this process, or in one of its own that is killed on its way."""

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any, NamedTuple

from helpers import build, data_files, recipe_of
from replay_server import SHOWN, number

from pairwright.assets.intake.source import take_in
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.sampling.sample import respond, sample_shard
from pairwright.assets.storage.build_lock import building
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import PairwrightError

PRELOADED = ["helpers", "growing"]


class Edited(NamedTuple):
    """A folder with a source, and the parts of a recipe over it."""

    folder: Path
    parts: dict[str, Any]

    def released(self, data: Path) -> dict[str, bytes]:
        """The Parquet files of a build's release."""
        recipe = recipe_of(self.folder, "rows.jsonl", **self.parts)
        workspace = Workspace.of(recipe, data)
        with building(workspace, "the test's build", recipe.path):
            if recipe.policies:
                take_in(recipe, workspace)
                for shard in workspace.each_shard():
                    for policy in policies_of(recipe):
                        sample_shard(recipe, policy, workspace, shard)
                    respond(recipe, workspace, shard)
            try:
                return data_files(build(recipe, data).path)
            except PairwrightError as error:  # an edit may leave no pair
                assert "no pair is left" in str(error)
                return {}

    def killed(self, data: Path, after: float) -> bool:
        """Build in a process of its own, which SIGKILL ends after so many seconds of work, if it lasts as long."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        here, there = context.Pipe()
        process = context.Process(target=_build, args=(self, data, there))
        process.start()
        there.close()  # so that a child that ends before its time is noticed
        assert here.recv() == "ready"
        process.join(after)
        landed = process.is_alive()
        process.kill()
        process.join()
        assert landed or process.exitcode == 0
        return landed


def _build(edited: Edited, data: Path, parent: Any) -> None:
    parent.send("ready")
    edited.released(data)


def answer(body: dict[str, Any]) -> str:
    """A verdict or a domain that depends on the model and on all that it is shown, and on nothing else."""
    text = f"{body['model']} {body['messages'][-1]['content']}"
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    value = {label: number(f"{text} {label}") for label, _, _ in SHOWN.findall(text)}
    if "domain" in wanted:
        return json.dumps({"rationale": "so", "domain": "chat" if number(text) < 0.5 else "code"})
    if "ranking" in wanted:
        return json.dumps({"rationale": "so", "ranking": sorted(value, key=lambda label: -value[label])})
    if "ratings" in wanted:
        found = [{"response": one, "rationale": "so", "rating": 1 + int(value[one] * 5)} for one in value]
        return json.dumps({"ratings": found})
    if "rating" in wanted:
        return json.dumps({"rationale": "so", "rating": 1 + int(value["A"] * 5)})
    return json.dumps({"rationale": "so", "verdict": "A" if value["A"] > value["B"] else "B"})


def seconds_of(work: Any, *arguments: Any) -> tuple[Any, float]:
    """What a function returns, and how long it took."""
    start = time.perf_counter()
    return work(*arguments), time.perf_counter() - start
