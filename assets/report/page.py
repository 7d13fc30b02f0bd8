"""The page: figures, plots and pairs put into one HTML file with everything inlined.

Dataset text meets the page in two ways only: through Jinja's escaping, and as JSON in which no `<` is left. A content
security policy forbids everything but the page's own two scripts, which are named by their hashes.
"""

import base64
import functools
import hashlib
import json
import os
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from pairwright.assets.auditing.given_labels import against_labels
from pairwright.assets.judging.verdicts import judges_of
from pairwright.assets.releasing.changes import CAUSES
from pairwright.assets.releasing.versions import Release
from pairwright.assets.report import figures
from pairwright.assets.report.sample import sampled_pairs
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import StoreError
from pairwright.schemas.files import replacing
from pairwright.schemas.ids import digest
from pairwright.schemas.recipe import Recipe

NAME = "report.html"
END = "<!-- checksum of what stands above: "
MOST_JUDGES = 12
"""Judges with a plot of their own."""


def report(recipe: Recipe, workspace: Workspace, made: Release) -> Path:
    """The report of the latest release, written unless it is there and whole: the tables are those it was made from."""
    path = made.path / NAME
    if _kept(path) is None:
        _keep(page(recipe, workspace, made.manifest), path)
    return path


def _keep(text: str, path: Path) -> None:
    """Write a text with its checksum behind it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(f"{text}{END}{digest(text)} -->\n", encoding="utf-8", newline="")


def _kept(path: Path) -> str | None:
    """The text that `_keep` wrote; None where it is not there or not whole."""
    try:
        text, _, stated = path.read_bytes().decode().rpartition(END)
    except (OSError, UnicodeDecodeError):
        return None
    return text if stated == f"{digest(text)} -->\n" else None


def page(recipe: Recipe, workspace: Workspace, manifest: dict[str, Any]) -> str:
    """The HTML. The same tables give the same bytes."""
    sample = figures.Sample.of(manifest["counts"]["responses"])
    judged = figures.verdicts(recipe, workspace)
    drawn = plots(recipe, workspace, manifest, sample)
    specs = json.dumps([plot["spec"] for plot in drawn], ensure_ascii=False).replace("<", "\\u003c")
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_part("page.html"))
    library, script = _library(workspace.data), _part("page.js")
    return template.render(
        manifest=manifest,
        sample=sample,
        plots=drawn,
        causes=_by_cause(manifest),
        drift=manifest.get("drift"),
        judged=judged,
        given=against_labels(recipe, workspace),
        policies=[one for one in manifest.get("answers", []) if one["part"] == "policy"],
        cost=sum(one["cost"] for one in judged),
        pairs=sampled_pairs(recipe, workspace),
        style=_part("page.css"),
        specs=specs,
        library=library,
        script=script,
        hashes=[_hash(library), _hash(script)],
    )


def _by_cause(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each cause of a change against the parent."""
    changed = manifest.get("causes") or {}
    return [
        {"cause": cause, **{what: changed[what].get(cause, 0) for what in changed}}
        for cause in CAUSES
        if any(cause in counts for counts in changed.values())
    ]


def plots(
    recipe: Recipe, workspace: Workspace, manifest: dict[str, Any], sample: figures.Sample
) -> list[dict[str, Any]]:
    """Title, what it says, and specification of each plot that the tables give."""
    from pairwright.assets.report import charts  # whose library takes a third of a second, also where nothing is drawn

    judges = [judge.name for judge in judges_of(recipe)][:MOST_JUDGES]
    responses = figures.sampled_responses(recipe, workspace, sample)
    policies = figures.main_policies(responses)
    both = figures.compared(responses)
    won = figures.win_rates(both, policies)
    margins = figures.margin_agreement(workspace)
    longer = figures.length_bias(both, judges)
    drawn = [_plot("Funnel", "What each step let through.", charts.bars(manifest["funnel"]))]
    for judge in judges:
        spread = figures.distribution(responses, judge, policies)
        if spread.height:
            drawn.append(_plot(f"Scores of {judge}", "By policy.", charts.spread(spread, judge)))
    if won.height:
        drawn.append(
            _plot("Win rates", "By the jury's utility on the same prompt; a tie is half a win.", charts.wins(won))
        )
    drawn.append(_plot("Margin and agreement", "Candidate pairs in twenty equal groups.", charts.curve(margins)))
    released = figures.longer_chosen(workspace)
    text = f"In {released.item(0, 'rate'):.1%} of {released.item(0, 'pairs'):,} released pairs; half would be no bias."
    drawn.append(_plot("The chosen side is the longer one", text, charts.longer(released, "chosen is longer")))
    if longer.height:
        text = "Over every two responses of a prompt, released or not: how often the longer one scores better."
        drawn.append(_plot("Length bias of the judges", text, charts.longer(longer, "longer one scores better")))
    if len(judges) > 1:
        text = "Pearson's r between the judges' scores."
        drawn.append(_plot("Judges", text, charts.matrix(figures.correlations(responses, judges))))
    return drawn


def _plot(title: str, text: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "text": text, "spec": spec}


@functools.cache
def _library(data: Path) -> str:
    """Vega, Vega-Lite and vega-embed in one script; to bundle them takes seconds, so it is kept for all data folders.

    It lies in the user's cache, or beside the data where that cannot be written.
    """
    folders = (_user_cache(), data / ".report")
    paths = [folder / f"vega-{version('vl-convert-python')}.js" for folder in folders]
    kept = next(filter(None, map(_kept, paths)), None)
    if kept is not None:
        return kept
    import vl_convert

    script = str(vl_convert.javascript_bundle())  # type: ignore[call-arg] # its stub wants what has a default
    for path in paths:
        try:
            _keep(script, path)
        except (OSError, StoreError):
            if path is paths[-1]:
                raise
        else:
            break
    return script


def _user_cache() -> Path:
    """The folder that XDG_CACHE_HOME names, which is ~/.cache where it is not set."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if Path(named).is_absolute() else Path("~/.cache").expanduser()) / "pairwright"


def _part(name: str) -> str:
    return (files("pairwright.assets.report") / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
