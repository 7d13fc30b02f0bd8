"""What the UI shows of a table: a preview and plots, as Markdown in which dataset text is inert."""

import base64
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from pairwright import __version__
from pairwright.assets.store import Workspace
from pairwright.assets.text import cell
from pairwright.schemas.files import replacing
from pairwright.schemas.ids import fingerprint

PREVIEW = 6
"""Rows of a preview."""


def kept_view(
    workspace: Workspace, name: str, made_from: Sequence[str], make: Callable[[], dict[str, str]]
) -> dict[str, str]:
    """The Markdown pieces of an asset's view, made anew only when its rows or this program changed."""
    path = workspace.root / "views" / f"{name.replace('/', '-')}.json"
    version = fingerprint([__version__, *made_from])
    if path.exists():
        stored = json.loads(path.read_text())
        if stored["version"] == version:
            return dict(stored["view"])
    view = make()
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"version": version, "view": view}))
    return view


def table(frame: pl.DataFrame, most: int = PREVIEW) -> str:
    """A Markdown table of the first rows."""
    columns = frame.columns
    lines = ["| " + " | ".join(cell(name) for name in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_shown(value) for value in row) + " |" for row in frame.head(most).rows()]
    return "\n".join(lines)


def commonest(failures: pl.Series) -> dict[str, str]:
    """The commonest reasons as a piece of a view; nothing where nothing failed."""
    counts = failures.drop_nulls().value_counts(sort=True)
    return {"commonest failures": table(counts)} if counts.height else {}


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        last = value[-1] if value else ""
        return cell(str(last["content"] if isinstance(last, dict) and "content" in last else value))
    return cell("" if value is None else str(value))


def histogram(values: Sequence[float], label: str) -> str:
    """A picture of how numbers are spread."""

    def draw(axes: Any) -> None:
        axes.hist(values, bins=40, color="#4c72b0")
        axes.set_xlabel(label)
        axes.set_ylabel("responses")

    return _picture(draw, f"histogram of {label}")


def scatter(x: Sequence[float], y: Sequence[float], labels: tuple[str, str]) -> str:
    """A picture of one number against another."""

    def draw(axes: Any) -> None:
        axes.scatter(x, y, s=6, alpha=0.4, color="#4c72b0", linewidths=0)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    return _picture(draw, f"{labels[1]} against {labels[0]}")


def funnel_picture(steps: Sequence[Any]) -> str:
    """A picture of what each step (with step, entered, left) let through."""

    def draw(axes: Any) -> None:
        names = [step.step for step in steps][::-1]
        axes.barh(names, [step.entered for step in steps][::-1], color="#d0d7e5")
        bars = axes.barh(names, [step.left for step in steps][::-1], color="#4c72b0")
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
        axes.margins(x=0.15)  # room for the numbers

    return _picture(draw, "funnel")


def _picture(draw: Callable[[Any], None], alt: str) -> str:
    """A plot as Markdown that holds its own bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return f"![{alt}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"
