"""What a judge's verdicts say about the judge: position, length, its own model, ties, failures, second opinions."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.judging.retest import again, opinions
from pairwright.assets.sampling.policies.served import ServedPolicy
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.stages.view import Finding, View
from pairwright.assets.storage.reply_ledger import replies_table, spending
from pairwright.assets.storage.store import Workspace, scan
from pairwright.judges.base import NOT_APPLICABLE, Judge
from pairwright.judges.llm.attacks import speaks_to_judge
from pairwright.judges.llm.base import LlmJudge
from pairwright.judges.per_response import newest
from pairwright.schemas.recipe import Recipe

MOST_FLIPS = 0.2
"""Share of pairs judged otherwise in the other order above which a check warns; 19 % is the median of judges."""
MOST_FIRST = 0.65
"""Share of decided calls won by the response shown first above which a check warns."""
MOST_CHANGED = 0.2
"""Share of orders that a second opinion turns round above which a check warns."""
CODE = 3
"""Raised when the same verdicts would give another audit."""
AGAIN = "turned round when asked again"
RETEST = {"watch_retest": (AGAIN, MOST_CHANGED, "Asked again, the judge turns round at most a fifth of its orders.")}
SERVER_ONLY = "at temperature 0 this measures the server only"
"""Of test and retest: a judge that draws nothing cannot waver by itself."""
SEEN = ("response_id", "length", "speaks", "own")
"""What is looked at of a response."""
OWN_WINS = "its own model's response wins"
MOST_ROWS = 20
"""Of a table in the view: all figures, all kinds."""
SIGNS = {
    "refused": r"^refused",
    "truncated": r"^truncated",
    "empty answer": r"is empty$",
    "no reply": r"^(no reply|gave up|no whole answer|status )",
    "no log-probs": r"without log-probs",
    "broken reply": r"^the reply",
    "no verdict in the form": r"no JSON object|no list|has no rating",
    "contradicts itself": r"several JSON objects|rated twice",
    "off the scale": r"off the scale|expected a number|N/A, which",
    "wrong labels": r"allowed:|asked for:|no rating for|must hold each",
}
"""Kind of a failure → how its text shows it; the first that fits."""
CHECKS = {
    "watch_flips": (
        "flips between orders",
        MOST_FLIPS,
        "At most a fifth of the pairs is judged otherwise in the other order.",
    ),
    "watch_first": ("first shown wins", MOST_FIRST, "The response shown first wins at most 65 % of the decided calls."),
}
"""Check → the figure it watches, its limit, and what it says. Only judges that compare have them; RETEST, all that ask
a model."""


class Figure(NamedTuple):
    """A share and what it is of."""

    name: str
    share: float
    n: int


def models_of(recipe: Recipe, judge: Judge) -> frozenset[str]:
    """The policies whose responses a judge's own model wrote: by model in the recipe, by name in given responses."""
    if not isinstance(judge, LlmJudge):
        return frozenset()
    served = (one for one in policies_of(recipe) if isinstance(one, ServedPolicy))
    return frozenset({judge.model, *(one.name for one in served if one.model == judge.model)})


def audit(judge: Judge, workspace: Workspace, files: list[Path], own: frozenset[str] = frozenset()) -> list[Figure]:
    """The figures of a judge's verdicts, those that exist for its kind. `own` names the policies of its own model.

    Shares are of the newest round; second opinions are held against the round before them.
    """
    there = [path for shard in workspace.each_shard() if (path := workspace.file("responses", shard)).exists()]
    texts = scan(there).select(
        "prompt_id",
        "response_id",
        length=pl.col("text").str.len_chars(),
        speaks=speaks_to_judge(pl.col("text")),
        own=pl.col("policies").list.eval(pl.element().is_in(list(own))).list.any(),
    )
    verdicts = newest(judge, scan(files))
    figures = _compared(verdicts, texts) if judge.asks_about == "pair" else _scored(verdicts, texts)
    found = again(judge, opinions(judge, scan(files)).collect())
    if found.compared:
        figures[AGAIN] = (found.flipped / found.compared, found.compared)
        figures["same order when asked again"] = (found.same / found.compared, found.compared)
    return [Figure(name, share, n) for name, (share, n) in figures.items() if n]


def checks_of(judge: Judge) -> dict[str, str]:
    """The audit's checks of a judge: name → description."""
    return {name: f"{text}{_caveat(judge, name)}" for name, (_, _, text) in _watched(judge).items()}


def _watched(judge: Judge) -> dict[str, tuple[str, float, str]]:
    return (CHECKS if judge.asks_about == "pair" else {}) | (RETEST if judge.calls_server else {})


def _caveat(judge: Judge, check: str) -> str:
    """What a reader of the check must know besides."""
    drawless = isinstance(judge, LlmJudge) and judge.temperature == 0
    return f" ({SERVER_ONLY})" if check in RETEST and drawless else ""


def audit_view(judge: Judge, workspace: Workspace, files: list[Path], own: frozenset[str] = frozenset()) -> View:
    """The figures, also as a Markdown table, what the judge has cost, and what each check found."""
    if not judge.calls_server:
        return View()
    figures = {one.name: one for one in audit(judge, workspace, files, own)}
    pictures = {
        "audit": views.table(pl.DataFrame(list(figures.values()), schema=Figure._fields, orient="row"), MOST_ROWS),
        "failures by kind": views.table(failures_by_kind(newest(judge, scan(files))), MOST_ROWS),
        "paid for": views.table(spending([replies_table(judge)], workspace)),
    }
    findings = {}
    for check, (name, most, _) in _watched(judge).items():
        one = figures.get(name, Figure(name, 0.0, 0))
        found = f"{one.share:.1%} of {one.n}{_caveat(judge, check)}" if one.n else "no case"
        findings[check] = Finding(one.share <= most, found)
    shares = {name: one.share for name, one in figures.items() if name != "failures"}  # which are counted already
    return View(shares, pictures, findings)


def _compared(rows: pl.LazyFrame, texts: pl.LazyFrame) -> dict[str, tuple[float, int]]:
    for side in ("a", "b"):
        one = texts.rename({name: f"{name.removesuffix('_id')}_{side}" for name in SEEN})
        rows = rows.join(one, on=["prompt_id", f"response_{side}"], how="inner")
    frame = rows.select("p_a", "per_order", "failure", "^length_.$", "^speaks_.$", "^own_.$").collect()
    judged = frame.filter(pl.col("p_a").is_not_null())
    first, second = (pl.col("per_order").list.get(place, null_on_oob=True) for place in (0, 1))
    both = judged.filter(first.is_not_null() & second.is_not_null())
    decided = judged.filter(pl.col("p_a") != 0.5)
    other_length = decided.filter(pl.col("length_a") != pl.col("length_b"))
    spoken = decided.filter(pl.col("speaks_a") != pl.col("speaks_b"))
    kin = decided.filter(pl.col("own_a") != pl.col("own_b"))
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
        OWN_WINS: _share(kin, a_wins == pl.col("own_a")),
    }


def _scored(rows: pl.LazyFrame, texts: pl.LazyFrame) -> dict[str, tuple[float, int]]:
    joined = rows.join(texts, on=["prompt_id", "response_id"], how="inner")
    frame = joined.select("prompt_id", "criterion", "score", "failure", *SEEN).collect()
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
        OWN_WINS: _own_wins(scored),
    }


def _own_wins(scored: pl.DataFrame) -> tuple[float, int]:
    """Of the pairs of a prompt's responses with one by the judge's own model and unequal scores: where it is better."""
    rows = scored.select("prompt_id", "criterion", "score", "own")
    pairs = rows.filter("own").join(rows.filter(~pl.col("own")), on=["prompt_id", "criterion"], suffix="_other")
    pairs = pairs.filter(pl.col("score") != pl.col("score_other"))
    return _share(pairs, pl.col("score") > pl.col("score_other"))


def failures_by_kind(rows: pl.LazyFrame) -> pl.DataFrame:
    """How many verdicts failed, by what went wrong."""
    text = pl.col("failure")
    kind = pl.coalesce([pl.when(text.str.contains(f"(?i){sign}")).then(pl.lit(name)) for name, sign in SIGNS.items()])
    failed = rows.filter(text.is_not_null() & (text != NOT_APPLICABLE)).select(kind=kind.fill_null("other"))
    return failed.group_by("kind").len("verdicts").sort("verdicts", "kind", descending=[True, False]).collect()


def _best_is(rows: pl.DataFrame, what: pl.Expr) -> tuple[float, int]:
    """Share of prompts and criteria whose best-scored response is so."""
    marked = rows.with_columns(
        _what=what, _best=pl.col("score") == pl.col("score").max().over("prompt_id", "criterion")
    )
    return _share(marked.filter("_best"), pl.col("_what"))


def _share(rows: pl.DataFrame, condition: pl.Expr) -> tuple[float, int]:
    counted = rows.select(yes=condition.fill_null(False).sum(), n=pl.len()).row(0)
    return (counted[0] / counted[1] if counted[1] else 0.0), int(counted[1])
