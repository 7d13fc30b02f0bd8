"""What a judge's verdicts say about the judge: position, length, ties, failures, and texts that speak to it."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from pairwright.assets import views
from pairwright.assets.replies import replies_table, spending
from pairwright.assets.store import Workspace, scan
from pairwright.judges.base import NOT_APPLICABLE, Judge
from pairwright.judges.llm.attacks import speaks_to_judge
from pairwright.schemas.tables import Comparisons

MOST_FLIPS = 0.2
"""Share of pairs judged otherwise in the other order above which a check warns; 19 % is the median of judges."""
MOST_FIRST = 0.65
"""Share of decided calls won by the response shown first above which a check warns."""


class Figure(NamedTuple):
    """A share and what it is of."""

    name: str
    share: float
    n: int


def audit(judge: Judge, workspace: Workspace, files: list[Path]) -> list[Figure]:
    """The figures of a judge's verdicts, those that exist for its kind."""
    rows = scan(files)
    there = [path for shard in workspace.each_shard() if (path := workspace.file("responses", shard)).exists()]
    texts = scan(there).select(
        "prompt_id",
        "response_id",
        length=pl.col("text").str.len_chars(),
        speaks=speaks_to_judge(pl.col("text")),
    )
    figures = _compared(rows, texts) if judge.table is Comparisons else _scored(rows, texts)
    return [Figure(name, share, n) for name, (share, n) in figures.items() if n]


CHECKS = {
    "watch_flips": (
        "flips between orders",
        MOST_FLIPS,
        "At most a fifth of the pairs is judged otherwise in the other order.",
    ),
    "watch_first": ("first shown wins", MOST_FIRST, "The response shown first wins at most 65 % of the decided calls."),
}
"""Check → the figure it watches, its limit, and what it says. Only judges that compare have them."""


def checks_of(judge: Judge) -> dict[str, str]:
    """The audit's checks of a judge: name → description."""
    return {name: text for name, (_, _, text) in CHECKS.items()} if judge.table is Comparisons else {}


def audit_view(judge: Judge, workspace: Workspace, files: list[Path]) -> dict[str, str]:
    """The figures as a Markdown table, what the judge has cost, and each check as `passed|what was found`."""
    if not judge.calls_server:
        return {}
    figures = {one.name: one for one in audit(judge, workspace, files)}
    view = {
        "audit": views.table(pl.DataFrame(list(figures.values()), schema=Figure._fields, orient="row")),
        "paid for": views.table(spending([replies_table(judge)], workspace)),
    }
    for check in checks_of(judge):
        name, most, _ = CHECKS[check]
        one = figures.get(name, Figure(name, 0.0, 0))
        view[check] = f"{'yes' if one.share <= most else 'no'}|{one.share:.1%} of {one.n}"
    return view


def _compared(rows: pl.LazyFrame, texts: pl.LazyFrame) -> dict[str, tuple[float, int]]:
    for side in ("a", "b"):
        one = texts.rename({"response_id": f"response_{side}", "length": f"length_{side}", "speaks": f"speaks_{side}"})
        rows = rows.join(one, on=["prompt_id", f"response_{side}"], how="inner")
    frame = rows.select("p_a", "per_order", "failure", "^length_.$", "^speaks_.$").collect()
    judged = frame.filter(pl.col("p_a").is_not_null())
    first, second = (pl.col("per_order").list.get(place, null_on_oob=True) for place in (0, 1))
    both = judged.filter(first.is_not_null() & second.is_not_null())
    decided = judged.filter(pl.col("p_a") != 0.5)
    other_length = decided.filter(pl.col("length_a") != pl.col("length_b"))
    spoken = decided.filter(pl.col("speaks_a") != pl.col("speaks_b"))
    won_first = pl.concat(
        [
            judged.select(won=first).filter(pl.col("won") != 0.5),
            judged.select(won=1 - second).filter(pl.col("won") != 0.5),
        ]
    )
    a_wins = pl.col("p_a") > 0.5
    return {
        "failures": _share(frame, pl.col("failure").is_not_null()),
        "ties": _share(judged, pl.col("p_a") == 0.5),
        "flips between orders": _share(both, (first - 0.5) * (second - 0.5) < 0),
        "first shown wins": _share(won_first, pl.col("won") > 0.5),
        "longer wins": _share(other_length, a_wins == (pl.col("length_a") > pl.col("length_b"))),
        "text that speaks to the judge wins": _share(spoken, a_wins == pl.col("speaks_a")),
    }


def _scored(rows: pl.LazyFrame, texts: pl.LazyFrame) -> dict[str, tuple[float, int]]:
    joined = rows.join(texts, on=["prompt_id", "response_id"], how="inner")
    frame = joined.select("prompt_id", "response_id", "criterion", "score", "failure", "length", "speaks").collect()
    asked = frame.filter(pl.col("failure").is_null() | (pl.col("failure") != NOT_APPLICABLE))
    scored = frame.drop_nulls("score")
    best = pl.col("score") == pl.col("score").max().over("prompt_id", "criterion")
    several = scored.filter(pl.len().over("prompt_id", "criterion") > 1)
    alone = several.filter(best.sum().over("prompt_id", "criterion") == 1)
    longest = pl.col("length") == pl.col("length").max().over("prompt_id", "criterion")
    spoken = several.filter(pl.col("speaks").any().over("prompt_id", "criterion"))
    return {
        "failures": _share(asked, pl.col("failure").is_not_null()),
        "not applicable": _share(frame, pl.col("failure") == NOT_APPLICABLE),
        "ties for the best": _share(several.filter(best), best.sum().over("prompt_id", "criterion") > 1),
        "best is the longest": _best_is(alone, longest),
        "text that speaks to the judge is best": _best_is(spoken, pl.col("speaks")),
    }


def _best_is(rows: pl.DataFrame, what: pl.Expr) -> tuple[float, int]:
    """Share of prompts and criteria whose best-scored response is so."""
    marked = rows.with_columns(
        _what=what, _best=pl.col("score") == pl.col("score").max().over("prompt_id", "criterion")
    )
    return _share(marked.filter("_best"), pl.col("_what"))


def _share(rows: pl.DataFrame, condition: pl.Expr) -> tuple[float, int]:
    counted = rows.select(yes=condition.fill_null(False).sum(), n=pl.len()).row(0)
    return (counted[0] / counted[1] if counted[1] else 0.0), int(counted[1])
