"""What the UI shows of a table: a preview and plots, as Markdown in which dataset text is inert."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from pairwright.assets.display.text import cell

PREVIEW = 6
"""Rows of a preview."""


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


def histogram(values: pl.Series, label: str) -> str:
    """A picture of how finite numbers are spread."""
    counts, edges = np.histogram(values.to_numpy(), bins=40)

    def draw(axes: Any) -> None:
        axes.stairs(counts, edges, fill=True, color="#4c72b0")
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
