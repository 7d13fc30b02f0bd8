"""From verdicts to preferences: each judge on one scale over the data set, then the jury's utility per response."""

from collections.abc import Sequence
from functools import partial

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.judging.verdicts import KEY, choice_of, judges_of, response_scores, scored_from
from pairwright.assets.stages.stage import Derived, Input, Inputs
from pairwright.assets.storage.store import Workspace, read_table, scan
from pairwright.judges.base import Judge
from pairwright.judges.juries.base import Jury
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.row_order import same_rows
from pairwright.schemas.tables import Preferences, check

CODE = 3
"""Raised when the same verdicts would give other preferences."""
SCALES = "scales"


def prefer(recipe: Recipe, workspace: Workspace) -> int:
    """Bring scales and preferences of all shards up to the verdicts; how many shards were made."""
    scales_stage(recipe).bring_up(workspace)
    return preferences_stage(recipe).bring_up(workspace)


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
    )


def preferences_stage(recipe: Recipe) -> Derived:
    """What the jury makes of all verdicts on a response."""
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


def preferences_view(workspace: Workspace) -> dict[str, str]:
    """Counts, the spread of utilities, and utility against length for a sample."""
    rows = scan(workspace.files("preferences"))
    narrow = rows.select("prompt_id", "response_id", "utility", "rank").collect()
    best = narrow.filter(pl.col("rank") == 1).group_by("prompt_id").len()
    sample = narrow.drop_nulls("utility").head(2000)
    texts = scan(workspace.files("responses")).filter(pl.col("prompt_id") <= sample.get_column("prompt_id").max())
    lengths = texts.select("response_id", length=pl.col("text").str.len_chars())  # of the first row groups alone
    joined = sample.lazy().join(lengths, on="response_id").sort("response_id").collect()
    view = {
        "rows": str(narrow.height),
        "prompts": str(best.height),
        "tied": str(best.filter(pl.col("len") > 1).height),
        "preview": views.table(rows.head(views.PREVIEW).collect().select(pl.exclude("z", "scores"))),
    }
    if joined.height:
        view["utilities"] = views.histogram(narrow.get_column("utility").drop_nulls(), "utility")
        view["length against utility"] = views.scatter(
            joined.get_column("length").to_list(),
            joined.get_column("utility").to_list(),
            ("characters", "utility"),
        )
    return view
