"""What the tests share: a judge that keeps a log of its calls, small recipes, and a build without Dagster around it."""

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from PIL import Image
from pydantic import Field

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.domains import route_shard, routers_of
from pairwright.assets.judging.likelihood import passes, read_pass
from pairwright.assets.judging.paid_stages import verdicts_stage
from pairwright.assets.judging.verdicts import guides_first
from pairwright.assets.pairing.pair import pair
from pairwright.assets.pairing.prefer import prefer
from pairwright.assets.pairing.rank import rank
from pairwright.assets.releasing.release import release
from pairwright.assets.releasing.versions import Release
from pairwright.assets.storage.store import Workspace
from pairwright.judges.base import Batch, Judge
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.reading import parse_recipe
from pairwright.schemas.recipe import Recipe

TESTS = Path(__file__).parent
SHARED = TESTS.parents[1] / "shared" / "data"
"""Real data that may lie beside a checkout; tests that want it skip where it is absent."""


def number(text: str, modulus: int) -> int:
    """A number below `modulus` that depends on a text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest()) % modulus


class Counting(Judge):
    """Scores a text by a hash of it, and writes a line to a log for every batch that it answers."""

    kind: Literal["test-counting"] = "test-counting"
    log: Annotated[str, Field(default=""), Runtime]
    """The log file. Does not change an answer."""
    batch: Annotated[int, Field(default=64), Runtime]
    """Responses of a batch."""
    salt: str = ""
    values: int = 1000
    """How many different scores there are; few make ties."""
    fails: str = ""
    """Texts that hold this get a failure that may be tried again."""

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        for number_of_batch, rows in enumerate(work.responses.iter_slices(self.batch)):
            self._note(number_of_batch, rows.get_column("response_id").to_list())
            texts = rows.get_column("text").to_list()
            failed = [bool(self.fails) and self.fails in text for text in texts]
            scores = [float(number(self.salt + text, self.values)) for text in texts]
            yield rows.select("prompt_id", "response_id", criterion=pl.lit("counting")).with_columns(
                pl.Series("score", [None if bad else one for bad, one in zip(failed, scores, strict=True)], pl.Float64),
                pl.Series("failure", ["told to fail" if bad else None for bad in failed], pl.String),
                pl.Series("retry", failed, pl.Boolean),
            )

    def _note(self, number_of_batch: int, ids: list[str]) -> None:
        if self.log:
            line = f"{os.getpid()} {number_of_batch} {' '.join(ids)}\n".encode()
            handle = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)


Recipe.model_rebuild(force=True)  # so that recipes may name the judge above


def calls(log: Path) -> Counter[str]:
    """How often each response was judged."""
    if not log.exists():
        return Counter()
    return Counter(identifier for line in log.read_text().splitlines() for identifier in line.split()[2:])


def write_jsonl(path: Path, rows: Iterable[Any]) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def wide(count: int, responses: int = 4, first: int = 0) -> list[dict[str, Any]]:
    """Rows of a source in wide form: prompts of many words, with references and responses of different quality."""
    rows = []
    for i in range(first, first + count):
        words = [f"w{number(f'{i} {j}', 5000)}" for j in range(12)]
        texts = [" ".join(words[: 12 - 2 * j]) + f" answer {j} to {i}" for j in range(responses)]
        rows.append(
            {
                "prompt": f"question {i}: " + " ".join(words),
                "references": [" ".join(words)],
                "responses": texts,
                "policies": [f"policy-{j}" for j in range(responses)],
            }
        )
    return rows


def recipe_of(folder: Path, source: str, **parts: Any) -> Recipe:
    """A recipe in a folder over one source there."""
    content = {
        "dataset": "tested",
        "prompts": {"source": source},
        "shards": 2,
        "judges": [{"kind": "test-counting"}],
        **parts,
    }
    return parse_recipe(content, folder / "recipe.yaml")


def judge_all(recipe: Recipe, data: Path) -> Workspace:
    """The stages up to the verdicts."""
    workspace = Workspace.of(recipe, data)
    take_in(recipe, workspace)
    for router in routers_of(recipe):
        for shard in workspace.each_shard():
            route_shard(router, workspace, shard)
    for need in passes(recipe):
        read_pass(need, workspace, workspace.each_shard())
    for judge in guides_first(recipe):
        verdicts_stage(recipe, judge).bring_up(workspace)
    return workspace


def build(recipe: Recipe, data: Path) -> Release:
    """All stages in order, as the assets run them."""
    workspace = judge_all(recipe, data)
    prefer(recipe, workspace)
    pair(recipe, workspace)
    rank(recipe, workspace)
    return release(recipe, workspace)


def all_files(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def data_files(folder: Path) -> dict[str, bytes]:
    """The Parquet files of a release."""
    return {name: content for name, content in all_files(folder).items() if name.endswith(".parquet")}


def table(workspace: Workspace, name: str) -> pl.DataFrame:
    """A table of all shards."""
    return pl.concat([pl.read_parquet(path, glob=False) for path in workspace.files(name)])


def image(colour: str = "red", form: str = "PNG") -> bytes:
    """A small image of one colour."""
    made = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(made, form)
    return made.getvalue()
