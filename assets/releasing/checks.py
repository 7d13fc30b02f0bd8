"""What is looked at before a version becomes visible: each check is declared, and its result kept in the manifest."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import polars as pl

from pairwright.assets.intake.splits import SPLITS, TEMPLATE, near_duplicates
from pairwright.assets.pairing.funnel import FunnelStep
from pairwright.assets.releasing.manifest import rows_by_split
from pairwright.assets.releasing.release_parts import Content
from pairwright.assets.releasing.release_rows import PAIRS, RANKINGS
from pairwright.assets.releasing.tally import Tally
from pairwright.assets.releasing.versions import Checked, scan_release
from pairwright.assets.stages.basis import Inputs
from pairwright.assets.stages.view import Check, ChecksError, Finding
from pairwright.assets.storage.store import scan

LONGER = (0.3, 0.7)
"""Shares of pairs whose chosen side is the longer one between which a trainer learns little of length alone."""


NO_LEAKAGE = Check("no_leakage", "No prompt is in two splits.", True)
NO_NEAR_LEAKAGE = Check(
    "no_near_duplicate_leakage",
    f"No group of up to {TEMPLATE} near-duplicate prompts is in two splits; more that hang together are a template's.",
    True,
)
TEXTS = Check("texts_are_there", "Each row has its prompt, and the texts of all responses that its ids name.", True)
SIDES = Check("sides_differ", "No pair has the same response on both sides, and chosen is strictly better.", True)
FUNNEL = Check("funnel_adds_up", "What the tables hold is what was released, or dropped for a stated reason.", True)
LENGTH_BIAS = Check(
    "watch_length_bias", "The longer side, in characters, is chosen in 30 % to 70 % of the pairs.", False
)
SPLITS_FILLED = Check(
    "watch_splits_filled", "No split that the recipe or the sources ask for is without a pair.", False
)
CHECKS = (NO_LEAKAGE, NO_NEAR_LEAKAGE, TEXTS, SIDES, FUNNEL, LENGTH_BIAS, SPLITS_FILLED)


def look(
    folder: Path, inputs: Inputs, content: Content, steps: Sequence[FunnelStep], asked: Sequence[str]
) -> list[Checked]:
    """All checks over a version that lies in a folder aside; `asked` names the splits that are to have pairs."""
    total, rows = content.total, rows_by_split(content.files)
    released = _released(folder)
    prompts = scan(inputs.files("prompts")).select("prompt_id", "sketch").collect()
    found = [
        _no_leakage(released),
        _no_near_leakage(prompts, released),
        (TEXTS, total.without_text == 0, f"{total.without_text:,} of {total.pairs + total.rankings:,} rows lack one"),
        (SIDES, total.same == 0, f"{total.same:,} of {total.pairs:,} pairs"),
        _funnel(total, steps, rows),
        _length_bias(total),
        _splits_filled(rows, asked),
    ]
    return [Checked(check.name, check.stops, passed, told) for check, passed, told in found]


_Found = tuple[Check, bool, str]


def _released(folder: Path) -> pl.DataFrame:
    """prompt_id and split of what the files of a version hold, each once."""
    split = pl.col("file").str.extract(r"([a-z]+)-\d+\.parquet$")
    tables = [scan_release(folder, name).select("prompt_id", split=split).unique() for name in (PAIRS, RANKINGS)]
    return pl.concat(tables).unique().collect()


def _no_leakage(released: pl.DataFrame) -> _Found:
    twice = released.filter(pl.col("prompt_id").is_duplicated()).get_column("prompt_id").unique().sort()
    return NO_LEAKAGE, twice.is_empty(), f"{twice.len():,} prompts in two splits{_such_as(twice)}"


def _no_near_leakage(prompts: pl.DataFrame, released: pl.DataFrame) -> _Found:
    """Groups are told from the prompts anew: the table of splits is what is looked at."""
    groups = prompts.select("prompt_id", group=near_duplicates(prompts))
    shared = groups.filter(pl.len().over("group").is_between(2, TEMPLATE))
    apart = shared.join(released, on="prompt_id").filter(pl.col("split").n_unique().over("group") > 1)
    count = apart.get_column("group").n_unique()
    ids = apart.sort("group", "prompt_id").get_column("prompt_id").unique(maintain_order=True)
    return NO_NEAR_LEAKAGE, count == 0, f"{count:,} groups of near-duplicates in two splits{_such_as(ids)}"


def _such_as(ids: pl.Series) -> str:
    return f" ({', '.join(ids.head(2))}{', …' if ids.len() > 2 else ''})" if ids.len() else ""


def _funnel(total: Tally, steps: Sequence[FunnelStep], rows: dict[str, int]) -> _Found:
    """The funnel counts step by step what the tables say; here it is held against what was put together and written."""
    pairs, rankings = (sum(rows[f"{table}_{split}"] for split in SPLITS) for table in (PAIRS, RANKINGS))
    ranked, inside = steps[0], steps[2:]
    wrong = [
        f"{what}: {one:,} and {other:,}"
        for what, one, other in (
            ("pairs drawn and looked at by the filters", total.candidates, total.annotated),
            ("pairs of the funnel and of the table", inside[0].entered, total.annotated),
            ("pairs dropped, by the funnel and by their reasons", sum(s.dropped for s in inside), total.reasoned),
            ("pairs left and released", inside[-1].left, pairs),
            ("pairs put together and released", total.pairs, pairs),
            ("prompts with a ranking and rankings released", ranked.left, rankings),
            ("rankings put together and released", total.rankings, rankings),
            *((f"{s.step}, entered less dropped and left", s.entered - s.dropped, s.left) for s in steps),
            *((f"left before and entered {b.step}", a.left, b.entered) for a, b in pairwise(inside)),
        )
        if one != other
    ]
    if total.unreasoned:
        wrong.append(f"{total.unreasoned:,} pairs kept for all their reason, or dropped without one")
    fits = f"{total.candidates:,} pairs drawn, {total.reasoned:,} dropped for a reason, {pairs:,} released"
    return FUNNEL, not wrong, "; ".join(wrong) or fits


def _length_bias(total: Tally) -> _Found:
    share = (total.longer + total.as_long / 2) / max(total.pairs, 1)
    return LENGTH_BIAS, LONGER[0] <= share <= LONGER[1], f"chosen is the longer side in {share:.1%}"


def _splits_filled(rows: dict[str, int], asked: Sequence[str]) -> _Found:
    lacking = [split for split in SPLITS if split in asked and not rows[f"{PAIRS}_{split}"]]
    held = ", ".join(f"{rows[f'{PAIRS}_{split}']:,} {split}" for split in SPLITS if split in asked)
    return SPLITS_FILLED, not lacking, f"no pair in {', '.join(lacking)}" if lacking else f"pairs: {held}"


def stop_failed(dataset: str, found: Sequence[Checked], stands: str | None, root: Path) -> None:
    """Raises ChecksError where one that stops has failed; `stands` is the version that stays the latest."""
    if failed := [one for one in found if one.stops and not one.passed]:
        lines = "; ".join(f"release, {one.name}: {one.found}" for one in failed)
        latest = f"{stands} stays the latest" if stands else "there is none yet"
        raise ChecksError(
            f"{dataset}: no release, since a check failed ({lines}); {latest}. Tables that cost nothing (pairs, "
            f"rankings, preferences, splits.parquet) are made again once they are moved away from {root}",
            findings(found),
        )


def findings(found: Sequence[Checked]) -> dict[str, Finding]:
    """As a stage reports them."""
    return {one.name: Finding(one.passed, one.found) for one in found}
