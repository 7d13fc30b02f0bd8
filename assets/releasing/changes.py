"""Why the pairs of two versions differ: told from the two releases alone."""

from pathlib import Path

import polars as pl

from pairwright.assets.releasing.versions import scan_release

SIDES = ["prompt_id", "chosen_id", "rejected_id"]
CAUSES = ("new prompts", "prompts gone", "responses came or went", "verdicts changed", "filters or pairing")


def difference(old: Path, new: Path) -> dict[str, int]:
    """How the pairs of two release folders differ: added, gone, flipped (sides swapped) and unchanged."""
    a, b = (_sides(path) for path in (old, new))
    same = a.join(b, on="pair_id", how="semi").height
    mirrored = a.select("prompt_id", chosen_id="rejected_id", rejected_id="chosen_id")
    flipped = b.join(mirrored, on=["prompt_id", "chosen_id", "rejected_id"], how="semi").height
    return {
        "added": b.height - same - flipped,
        "gone": a.height - same - flipped,
        "flipped": flipped,
        "unchanged": same,
    }


def _sides(folder: Path) -> pl.DataFrame:
    return scan_release(folder, "pairs").select("pair_id", "prompt_id", "chosen_id", "rejected_id").collect()


def causes(old: Path, new: Path) -> dict[str, dict[str, int]]:
    """Pairs added, gone and flipped between two release folders, by cause; a cause is what became of the prompt.

    "filters or pairing" is left where a prompt has the same responses in the same order, yet other pairs: other
    options, or scores that moved without changing places.
    """
    a, b = (scan_release(folder, "pairs").select(SIDES).collect(engine="streaming") for folder in (old, new))
    mirrored = a.select("prompt_id", chosen_id="rejected_id", rejected_id="chosen_id")
    flipped = b.join(mirrored, on=SIDES, how="semi")
    unflipped = flipped.select("prompt_id", chosen_id="rejected_id", rejected_id="chosen_id")
    changed = {
        "added": b.join(a, on=SIDES, how="anti").join(flipped, on=SIDES, how="anti"),
        "gone": a.join(b, on=SIDES, how="anti").join(unflipped, on=SIDES, how="anti"),
        "flipped": flipped,
    }
    prompts = pl.concat([rows.select("prompt_id") for rows in changed.values()]).unique()
    why = _why(old, new, prompts)
    return {what: _counted(rows.join(why, on="prompt_id", how="left")) for what, rows in changed.items()}


def _why(old: Path, new: Path, prompts: pl.DataFrame) -> pl.DataFrame:
    """prompt_id and cause, from each prompt's ranked lists."""
    lists = []
    for folder, end in ((old, "_old"), (new, "_new")):
        rows = scan_release(folder, "rankings").select("prompt_id", "response_ids", "ranks")
        rows = rows.join(prompts.lazy(), on="prompt_id", how="semi")
        lists.append(rows.rename({name: name + end for name in ("response_ids", "ranks")}).collect(engine="streaming"))
    both = prompts.join(lists[0], on="prompt_id", how="left").join(lists[1], on="prompt_id", how="left")
    before, after = pl.col("response_ids_old"), pl.col("response_ids_new")
    cause = (
        pl.when(before.is_null())
        .then(pl.lit(CAUSES[0]))
        .when(after.is_null())
        .then(pl.lit(CAUSES[1]))
        .when(before.list.sort() != after.list.sort())
        .then(pl.lit(CAUSES[2]))
        .when((before != after) | (pl.col("ranks_old") != pl.col("ranks_new")))
        .then(pl.lit(CAUSES[3]))
        .otherwise(pl.lit(CAUSES[4]))
    )
    return both.select("prompt_id", cause=cause)


def _counted(rows: pl.DataFrame) -> dict[str, int]:
    counts = dict(rows.get_column("cause").value_counts().iter_rows())
    return {cause: counts[cause] for cause in CAUSES if cause in counts}
