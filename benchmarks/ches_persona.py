"""ln-CHES of persona statements (one-word answers) beside that of human-labelled pairs, by the tiny model.

`python benchmarks/ches_persona.py DATA` reads ches_persona.parquet and human_pairs.parquet in DATA, prints how both
spread and what shares of their union would keep, and draws docs/ches-persona.png.
"""

import sys
from pathlib import Path

import polars as pl

from pairwright.assets.pairing.filters.ches import Ches
from pairwright.judges.base import Batch
from pairwright.models.local.engine import read
from pairwright.models.local.open_backend import load
from pairwright.schemas.ids import prompt_id, response_id
from pairwright.schemas.models import CausalModel
from pairwright.schemas.tables import MESSAGES

ROOT = Path(__file__).parents[1]
MODEL = CausalModel(id=str(ROOT / "pipelines" / "tiny" / "strong"))
SHARES = (0.05, 0.15, 0.5)


def pairs_of(data: Path) -> pl.DataFrame:
    """Prompt, chosen and rejected of both sets, 500 each at most, with content ids."""
    persona = pl.read_parquet(data / "ches_persona.parquet").select(
        "prompt", "chosen", "rejected", set=pl.lit("persona")
    )
    human = pl.read_parquet(data / "human_pairs.parquet").filter(pl.col("human_label") != "tie")
    first = pl.col("human_label") == "a"
    human = human.select(
        "prompt",
        chosen=pl.when(first).then("response_a").otherwise("response_b"),
        rejected=pl.when(first).then("response_b").otherwise("response_a"),
        set=pl.lit("human"),
    ).filter(pl.col("chosen") != pl.col("rejected"))
    both = pl.concat([persona.head(500), human.sample(min(500, human.height), seed=0)])
    ids = [prompt_id([{"role": "user", "content": prompt}]) for prompt in both["prompt"]]
    both = both.with_columns(prompt_id=pl.Series(ids))
    for side in ("chosen", "rejected"):
        sides = [response_id(*row) for row in both.select("prompt_id", side).iter_rows()]
        both = both.with_columns(pl.Series(f"{side}_id", sides))
    return both.with_columns(pair_id=pl.col("chosen_id") + pl.col("rejected_id")).unique("pair_id", maintain_order=True)


def values_of(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs with their ln-CHES as `value`, without those that do not fit in the model."""
    ches = Ches(model=MODEL)
    turn = pl.concat_list(pl.struct(role=pl.lit("user"), content="prompt")).cast(MESSAGES)
    prompts = pairs.select("prompt_id", messages=turn).unique("prompt_id").sort("prompt_id")
    sides = [pairs.select("prompt_id", response_id=f"{side}_id", text=side) for side in ("chosen", "rejected")]
    work = Batch(prompts, pl.concat(sides).unique("response_id").sort("prompt_id", "response_id"))
    rows = pl.concat(read(work, ches.need(), load(MODEL)))
    for side in ("chosen", "rejected"):
        row = pl.struct("tokens", "gram").alias(f"likelihood_{side}")
        one = rows.select("prompt_id", pl.col("response_id").alias(f"{side}_id"), row)
        pairs = pairs.join(one, on=["prompt_id", f"{side}_id"], how="left", maintain_order="left")
    return pairs.with_columns(value=ches.value(pairs)).drop_nulls("value")


def draw(found: pl.DataFrame, path: Path) -> None:
    """Both distributions, and where each share of the union ends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    low, high = (float(found["value"].quantile(q) or 0) for q in (0.005, 0.995))
    for name, colour in (("persona", "#c44e52"), ("human", "#4c72b0")):
        some = found.filter(pl.col("set") == name)["value"]
        axes.hist(some, bins=60, range=(low, high), alpha=0.6, color=colour, label=f"{name} pairs, n={some.len()}")
    for share in SHARES:
        axes.axvline(float(found["value"].quantile(share) or 0), color="#555555", linewidth=0.8)
        axes.text(float(found["value"].quantile(share) or 0), axes.get_ylim()[1], f" {share:.0%}", va="top", fontsize=8)
    axes.set_xlabel("ln-CHES (lower is kept)")
    axes.set_ylabel("pairs")
    axes.legend()
    figure.savefig(path, metadata={"Software": None})


def main(data: Path) -> None:
    """Print and draw."""
    found = values_of(pairs_of(data))
    quantiles = [pl.col("value").quantile(q).round(2).alias(f"{q:.0%}") for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
    print(found.group_by("set").agg(pl.len(), *quantiles).sort("set"))
    for share in SHARES:
        kept = found.sort("value", "pair_id").head(-int(-found.height * share // 1))
        print(f"keep {share:.0%} of {found.height}: {kept['set'].value_counts(sort=True).rows()}")
    draw(found, ROOT / "docs" / "ches-persona.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
