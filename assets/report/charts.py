"""The report's plots as Vega-Lite specifications, made by Altair; colours come from the page, which may be dark."""

from typing import Any

import altair as alt
import polars as pl

HEIGHT = 220
PERCENT = ".0%"


def bars(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The funnel: what entered each step, and what it left."""
    frame = pl.DataFrame(steps)
    order = frame.get_column("step").to_list()
    base = alt.Chart(frame).encode(y=alt.Y("step:N", sort=order, title=None, axis=alt.Axis(labelLimit=240)))
    entered = base.mark_bar(opacity=0.25).encode(x=alt.X("entered:Q", title=None, axis=alt.Axis(tickCount=4)))
    left = base.mark_bar().encode(x="left:Q", tooltip=["step:N", "entered:Q", "dropped:Q", "left:Q"])
    return _spec(entered + left, height=28 * len(order))


def spread(frame: pl.DataFrame, judge: str) -> dict[str, Any]:
    """A judge's scores, a line per policy."""
    chart = alt.Chart(frame).mark_line(interpolate="step", strokeWidth=1.5)
    return _spec(
        chart.encode(
            x=alt.X("score:Q", title=judge, scale=alt.Scale(zero=False)),
            y=alt.Y("share:Q", title="share of responses", axis=alt.Axis(format=PERCENT)),
            color=_by_policy(),
            tooltip=["policy:N", "score:Q", alt.Tooltip("share:Q", format=".1%")],
        )
    )


def wins(frame: pl.DataFrame) -> dict[str, Any]:
    """Win rates between policies, with their intervals."""
    base = alt.Chart(frame).encode(
        y=alt.Y("against:N", title="against", axis=alt.Axis(labelLimit=120)), color=_by_policy()
    )
    offset = alt.YOffset("policy:N")
    scale = alt.X(
        "rate:Q", title="win rate, 95 % interval", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=PERCENT)
    )
    facts = [
        "policy:N",
        "against:N",
        *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("rate", "low", "high")),
        "prompts:Q",
    ]
    points = base.mark_point(filled=True, size=40).encode(x=scale, yOffset=offset, tooltip=facts)
    whiskers = base.mark_rule().encode(x="low:Q", x2="high:Q", yOffset=offset)
    names = frame.get_column("policy").n_unique()
    return _spec(whiskers + points, height=max(80, 14 * names * names))


def curve(frame: pl.DataFrame) -> dict[str, Any]:
    """Agreement against margin."""
    chart = alt.Chart(frame).mark_line(point=True)
    return _spec(
        chart.encode(
            x=alt.X("margin:Q", title="margin (mean of a twentieth of the pairs)"),
            y=alt.Y(
                "agreement:Q", title="judges that agree", axis=alt.Axis(format=PERCENT), scale=alt.Scale(zero=False)
            ),
            tooltip=["margin:Q", alt.Tooltip("agreement:Q", format=".1%"), "pairs:Q"],
        )
    )


def longer(frame: pl.DataFrame, what: str) -> dict[str, Any]:
    """How often the longer response is preferred; half is no bias."""
    order = frame.get_column("who").to_list()
    points = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("rate:Q", title=what, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=PERCENT)),
            y=alt.Y("who:N", sort=order, title=None),
            tooltip=["who:N", alt.Tooltip("rate:Q", format=".1%"), "pairs:Q"],
        )
    )
    half = alt.Chart(pl.DataFrame({"half": [0.5]})).mark_rule(strokeDash=[4, 4]).encode(x="half:Q")
    return _spec(points + half, height=max(60, 26 * len(order)))


def matrix(frame: pl.DataFrame) -> dict[str, Any]:
    """Correlations of judges."""
    order = frame.get_column("a").unique(maintain_order=True).to_list()
    base = alt.Chart(frame).encode(
        x=alt.X("a:N", sort=order, title=None, axis=alt.Axis(labelAngle=-40)), y=alt.Y("b:N", sort=order, title=None)
    )
    scale = alt.Scale(domain=[-1, 0, 1], range=["#c0504d", "#9aa0a6", "#4c72b0"])
    cells = base.mark_rect(opacity=0.8).encode(
        color=alt.Color("r:Q", scale=scale, legend=None), tooltip=["a:N", "b:N", "r:Q"]
    )
    numbers = base.mark_text(color="white").encode(text=alt.Text("r:Q", format=".2f"))  # as many decimals as they have
    return _spec(cells + numbers, height=max(90, 36 * len(order)))


def _by_policy() -> alt.Color:
    return alt.Color("policy:N", title=None, legend=alt.Legend(orient="top", columns=4, labelLimit=120))


def _spec(chart: alt.Chart | alt.LayerChart, height: int = HEIGHT) -> dict[str, Any]:
    """A specification that fills the width there is."""
    return dict(chart.properties(width="container", height=height).to_dict())
