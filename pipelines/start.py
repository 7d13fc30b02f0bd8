"""`pairwright init`: a folder with a recipe that builds as it is."""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from pairwright.pipelines.recipes import SHIPPED
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import recipe_json_schema

EXAMPLES = 24
RECIPE = """\
# yaml-language-server: $schema=recipe.schema.json
dataset: my-preferences

prompts:
  source: prompts.jsonl            # Parquet, JSON Lines (.gz, .zst), CSV, a datasets folder, or hf://org/name
  columns:                         # ours: theirs; leave out what has the same name
    prompt: prompt
    references: [references]
    responses: responses           # a list a row; for one response a row, write `response: …` and `policy: …`
    policies: policies

shards: 1                          # more for more data: memory is bounded by a shard

judges:
  - {name: bleu, kind: bleu}       # against the references; costs nothing
  - {name: length, kind: length}   # a control to read beside the others: no vote, unless it is given a weight

jury:
  weights: {bleu: 1}               # 1 unless given; 0: a column only

pairs: {strategy: best-vs-worst}   # or best-vs-random, best-vs-random-non-max, adjacent, all

filters:                           # each adds its value and its verdict to every pair
  - {kind: margin, minimum: 0.5}
  - {kind: near-identical, minimum: 0.1}

release: {test_fraction: 0.05}
"""


def start(folder: Path) -> list[Path]:
    """Write recipe.yaml, recipe.schema.json and prompts.jsonl; their paths.

    Raises PairwrightError rather than overwrite one of them.
    """
    with (SHIPPED / "demo" / "corpus.jsonl").open(encoding="utf-8") as corpus:
        examples = "".join(islice(corpus, EXAMPLES))
    return write_new(folder, {"recipe.yaml": RECIPE, "prompts.jsonl": examples})


def write_new(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write files of a new folder, and the JSON Schema of recipes beside them; their paths.

    Raises PairwrightError rather than overwrite one of them.
    """
    schema = json.dumps(recipe_json_schema(), indent=2) + "\n"
    files = {folder / name: text for name, text in {**texts, "recipe.schema.json": schema}.items()}
    there = [str(path) for path in files if path.exists()]
    if there:
        raise PairwrightError(f"{', '.join(there)} already there; name another folder or remove it first")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)
