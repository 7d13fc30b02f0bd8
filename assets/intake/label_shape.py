"""The shape that a recipe gives a source whose responses somebody has judged already."""

from collections.abc import Sequence
from typing import NamedTuple

from pairwright.assets.intake.columns import Columns, settle
from pairwright.assets.intake.labelled_rows import POLICIES, PROMPT, RESPONSES
from pairwright.assets.intake.shapes import Shape
from pairwright.schemas.errors import SourceError, one_line
from pairwright.schemas.label_columns import LabelColumns
from pairwright.schemas.sources import ColumnMap

FORM = ("prompt", "messages", "response", "responses", "policy", "policies", "steps", "step_labels")
"""Fields of the column map that the one form of labelled rows settles by itself."""


class LabelledColumns(NamedTuple):
    """What is read of a labelled source: its shape, and the columns of the form that its rows become."""

    shape: Shape
    columns: Columns

    def used(self) -> set[str]:
        """The source's columns that something of ours is taken from."""
        return {*self.shape.columns(), *(self.columns.used() - {PROMPT, RESPONSES, POLICIES})}


def labelled_columns(columns: ColumnMap, found: Sequence[str], label: str) -> LabelledColumns | None:
    """The recipe's columns against a source's; None where nothing is said of the responses.

    Raises SourceError for a named column that is not there, and for fields that do not go together.
    """
    if not columns.says_something:
        return None
    shape = _shape(columns, found, label)
    for name in shape.columns():
        if name not in found:
            raise SourceError(f"{label}: columns name {name!r}; the source has {one_line(', '.join(found))}")
    rest = [name for name in found if name not in {*shape.columns(), PROMPT, RESPONSES, POLICIES}]
    taken = {name: "" for name in FORM if name in ColumnMap.model_fields}
    taken |= {"prompt": PROMPT, "responses": RESPONSES, "policies": POLICIES}
    nothing = dict.fromkeys(LabelColumns.model_fields)
    form = columns.model_copy(update={**nothing, "labels": {}, "scores": {}, "writers": [], **taken})
    return LabelledColumns(shape, settle(form, [*rest, PROMPT, RESPONSES, POLICIES], label))


def _shape(columns: ColumnMap, found: Sequence[str], label: str) -> Shape:
    prompt = columns.prompt or next((name for name in ("prompt", "messages") if name in found), None)
    if columns.prompt == "":
        prompt = None
    responses = columns.responses or ("responses" if "responses" in found else None)
    shape = Shape(
        prompt=prompt,
        label=columns.label,
        labels=columns.labels,
        annotator=columns.annotator,
        tie=columns.tie,
        scores={name: (value,) if isinstance(value, str) else tuple(value) for name, value in columns.scores.items()},
        ranks=columns.ranks,
        completions=columns.completions,
        conversation=columns.conversation,
        policies=columns.policies if isinstance(columns.policies, str) else None,
        policy=columns.policy,
        writers=(columns.writers[0], columns.writers[1]) if len(columns.writers) == 2 else None,
    )
    for one, other, chosen in (("chosen", "rejected", True), ("response_a", "response_b", False)):
        sides = (getattr(columns, one), getattr(columns, other))
        if not any(sides):
            continue
        if not all(sides):
            raise SourceError(f"{label}: columns.{one} and columns.{other} go together")
        if not chosen and not (columns.label or columns.scores):
            raise SourceError(f"{label}: columns.response_a and columns.response_b want columns.label, or scores")
        return shape._replace(sides=sides, chosen=chosen, policies=None, policy=None)
    if shape.label or shape.annotator or shape.tie:
        raise SourceError(f"{label}: columns.label is of two responses: name response_a and response_b")
    if columns.conversation:
        return shape._replace(prompt=None)
    if not columns.completions:
        if columns.response or (not responses and "response" in found):
            shape = shape._replace(response=columns.response or "response")
        elif responses:
            shape = shape._replace(responses=(responses,) if isinstance(responses, str) else tuple(responses))
        else:
            raise SourceError(f"{label}: columns.scores are of responses: name response, responses or completions")
    if prompt is None:
        raise SourceError(f"{label}: no column 'prompt' or 'messages'; name one in `columns`")
    return shape
