"""From verdicts to preferences: each judge on one scale over the data set, then the jury's utility per response."""

from collections.abc import Sequence
from functools import partial

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.judging.verdicts import KEY, choice_of, judges_of, response_scores, scored_from
from pairwright.assets.stages.basis import Input, Inputs
from pairwright.assets.stages.stage import Derived
from pairwright.assets.stages.view import Check, Finding, View
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan
from pairwright.judges.base import Judge
from pairwright.judges.juries.base import Jury
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.row_order import same_rows
from pairwright.schemas.tables import Preferences, check

CODE = 3
"""Raised when the same verdicts would give other preferences."""
SCALES = "scales"
TIES = Check("watch_ties", "At most a fifth of the prompts has several best responses.")
MOST_TIES = 0.2
"""Share of prompts above which TIES warns."""


def prefer(recipe: Recipe, workspace: Workspace) -> int:
    """Bring scales and preferences of all shards up to the verdicts; how many shards were made."""
    scales_stage(recipe).bring_up(workspace)
    return preferences_stage(recipe).bring_up(workspace).files


def scales_stage(recipe: Recipe) -> Derived:
    """What the jury knows of each judge over the data set, from narrow columns of scores."""
    tables = dict.fromkeys(table for judge in judges_of(recipe) for table in scored_from(judge))
    return Derived(
        name="scales",
        table=SCALES,
        fit=True,
        inputs=tuple(Input(table, every_shard=True) for table in tables),
        options={
            **jury_of(recipe).fitted_by(),
            "judges": [[judge.name, judge.fingerprint, choice_of(judge)] for judge in judges_of(recipe)],
        },
        code=CODE,
        make=partial(_scales, recipe),
        doc="What the jury knows of each judge over the data set.",
    )


def preferences_stage(recipe: Recipe) -> Derived:
    """What the jury makes of all verdicts on a response."""
    by_judge = pl.Struct({judge.name: pl.Float64 for judge in judges_of(recipe)})
    tables = dict.fromkeys(["responses", *(table for judge in judges_of(recipe) for table in scored_from(judge))])
    return Derived(
        name="preferences",
        table="preferences",
        inputs=(*map(Input, tables), Input(SCALES, fit=True)),
        options={
            "jury": {**jury_of(recipe).stamp(), "weights": recipe.weights},
            "judges": [[judge.name, judge.fingerprint, choice_of(judge)] for judge in judges_of(recipe)],
        },
        code=CODE,
        make=partial(_preferences, recipe),
        doc="The utility of every response: what the jury makes of the judges' scores.",
        made_by=jury_of(recipe),
        schema=Preferences,
        extra={"scores": by_judge, "z": by_judge},
        checks=(TIES,),
        view=preferences_view,
        view_reads=("responses",),
    )


def jury_of(recipe: Recipe) -> Jury:
    """Which combines the judges."""
    assert isinstance(recipe.jury, Jury)
    return recipe.jury


def _scales(recipe: Recipe, inputs: Inputs) -> pl.DataFrame:
    jury = jury_of(recipe)
    return jury.fit((judge.name, _scores(judge, inputs, jury.fit_columns)) for judge in judges_of(recipe))


def _scores(judge: Judge, inputs: Inputs, columns: Sequence[str]) -> pl.DataFrame:
    """Columns of a judge's scores over the data set."""
    shards = (response_scores(judge, inputs, shard) for shard in inputs.each_shard())
    return pl.concat([one.select(columns).collect() for one in shards])


def _preferences(recipe: Recipe, inputs: Inputs) -> pl.DataFrame:
    scores = read_table(inputs.file("responses", inputs.shard), columns=KEY)
    order = pl.Enum([judge.name for judge in judges_of(recipe)])  # of the recipe, whatever that of the file is
    scales = read_table(inputs.fit_file(SCALES)).sort(pl.col("judge").cast(order), maintain_order=True)
    for judge in judges_of(recipe):
        one = response_scores(judge, inputs, inputs.shard).collect()
        one = one.rename({"score": judge.name, "failure": f"{judge.name}!"})
        same = same_rows(scores, one, KEY)
        scores = scores.hstack(one.drop(KEY)) if same else scores.join(one, on=KEY, how="left", maintain_order="left")
    frame = jury_of(recipe).combine(scores, scales, recipe.weights)
    return check(frame, Preferences, extra=["scores", "z"])


def preferences_view(workspace: Workspace, shards: Sequence[Shard]) -> View:
    """Counts, the spread of utilities, and utility against length for a sample."""
    rows = scan([workspace.file("preferences", shard) for shard in shards])
    narrow = rows.select("prompt_id", "response_id", "utility", "rank").collect()
    best = narrow.filter(pl.col("rank") == 1).group_by("prompt_id").len()
    sample = narrow.drop_nulls("utility").head(2000)
    responses = scan([workspace.file("responses", shard) for shard in shards])
    texts = responses.filter(pl.col("prompt_id") <= sample.get_column("prompt_id").max())
    lengths = texts.select("response_id", length=pl.col("text").str.len_chars())  # of the first row groups alone
    joined = sample.lazy().join(lengths, on="response_id").sort("response_id").collect()
    tied = best.filter(pl.col("len") > 1).height
    pictures = {"preview": views.table(rows.head(views.PREVIEW).collect().select(pl.exclude("z", "scores")))}
    if joined.height:
        pictures["utilities"] = views.histogram(narrow.get_column("utility").drop_nulls(), "utility")
        pictures["length against utility"] = views.scatter(
            joined.get_column("length").to_list(),
            joined.get_column("utility").to_list(),
            ("characters", "utility"),
        )
    found = Finding(tied <= MOST_TIES * best.height, f"{tied} of {best.height} prompts")
    numbers = {"rows": narrow.height, "prompts": best.height, "tied prompts": tied}
    return View(numbers, pictures, {TIES.name: found})
