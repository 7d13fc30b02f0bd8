"""The stages of the intake: the tables that sources are taken in to, all shards in one go."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pairwright.assets.display import views
from pairwright.assets.intake.reasoned import REASONING, reasoning_found
from pairwright.assets.intake.source import Intake, responses_table, said_tables, take_in
from pairwright.assets.stages.run import Made, Run
from pairwright.assets.stages.stage import AtOnce
from pairwright.assets.stages.view import Check, Finding, View, preview
from pairwright.assets.storage.integrity import read_record
from pairwright.assets.storage.store import Shard, Workspace, read_table, version_of
from pairwright.judges.given import GIVEN_SCORES, LABELS
from pairwright.schemas.dataframely import dy
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import GivenScores, Labels, Prompts, Responses

REJECTS = Check("watch_rejects", "At most 5 % of the source's rows are rejects.")
MOST_REJECTS = 0.05
"""Share of the rows above which REJECTS warns."""
SAID: dict[str, tuple[str, type[dy.Schema]]] = {
    LABELS: ("Which of two responses annotators preferred, from the recipe's sources.", Labels),
    GIVEN_SCORES: ("Scores of responses, from the recipe's sources.", GivenScores),
}
BESIDE = ("rejects", "notices")
"""What the intake writes beside its tables."""


def intake_stages(recipe: Recipe) -> list[AtOnce]:
    """Prompts, and the responses that the sources give: both are made when either is brought up."""
    given = responses_table(recipe)
    judged = given == "responses"  # else policies add theirs, in a table of its own
    return [
        AtOnce(
            name="prompts",
            table="prompts",
            inputs=(),
            doc="Conversations that end before the assistant's turn, from the recipe's sources.",
            schema=Prompts,
            checks=(REJECTS,),
            view=_prompts_view,
            shows=_shown_of_prompts,
            make=partial(_taken_in, recipe),
        ),
        AtOnce(
            name=given,
            table=given,
            inputs=(),
            doc="Distinct texts for each prompt, with everyone who wrote them.",
            schema=Responses,
            checks=(REASONING,) if judged else (),
            view=responses_view if judged else None,
            make=partial(_taken_in, recipe),
        ),
        *(
            AtOnce(
                name=table,
                table=table,
                inputs=(),
                doc=SAID[table][0],
                schema=SAID[table][1],
                view=partial(preview, table),
                make=partial(_taken_in, recipe),
            )
            for table in said_tables(recipe)
        ),
    ]


def _taken_in(recipe: Recipe, workspace: Workspace, run: Run) -> Made:
    made: Intake = take_in(recipe, workspace, run.runner)
    return Made(files=2 * workspace.shards, rows=made.prompts + made.responses) if made.fresh else Made()


def _shown_of_prompts(workspace: Workspace, shards: Sequence[Shard]) -> list[str]:
    files = [workspace.file("prompts", shard) for shard in shards]
    return [version_of(path) for path in (*files, *(workspace.root / f"{name}.parquet" for name in BESIDE))]


def _prompts_view(workspace: Workspace, shards: Sequence[Shard]) -> View:
    """The first prompts, and what the whole of the sources came to."""
    record = read_record(workspace.root / "intake.json") or {}
    counts = {name: int(record[name]) for name in BESIDE}
    rejects, rows = counts["rejects"], int(record["rows"])
    pictures = {
        f"first {name}": views.table(read_table(workspace.root / f"{name}.parquet"))
        for name, count in counts.items()
        if count
    }
    found = Finding(rejects <= MOST_REJECTS * rows, f"{rejects} of {rows} rows")
    beside = View({**counts, "rows of the sources": rows}, pictures, {REJECTS.name: found})
    return preview("prompts", workspace, shards, ["sketch"]) | beside


def responses_view(workspace: Workspace, shards: Sequence[Shard], samples: Sequence[str] = ()) -> View:
    """Counts, the first responses, and whether reasoning stands in them; `samples` are tables of policies' texts."""
    responses = [workspace.file("responses", shard) for shard in shards]
    drawn: list[Path] = [workspace.file(table, shard) for table in samples for shard in shards]
    found = {REASONING.name: reasoning_found(responses, drawn)}
    return preview("responses", workspace, shards, ["tests", "steps"]) | View(findings=found)
