"""Columns of a source that say what is already known of its responses: which of two is better, or how good one is."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pairwright.schemas.options import Part

RANK = "rank"
"""The score that `ranks` are kept as: the negative rank, so that more is better."""
Meaning = Literal["a", "b", "tie"]
ScoreName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


def _words(value: Any) -> Any:
    """Labels that YAML reads as numbers or truth values, as the words they are looked up by."""
    if not isinstance(value, dict):
        return value
    return {str(key).lower() if isinstance(key, bool) else str(key): meaning for key, meaning in value.items()}


class LabelColumns(Part):
    """What is known of the responses; none of it is taken unless it is named. Judges of kind `label` and `score` read
    it."""

    conversation: str | None = None
    """A whole conversation: its last turn, the assistant's, is a response to what comes before."""
    chosen: str | None = None
    """The better of two responses: a text, the assistant's message, or a whole conversation. What both sides begin with
    is the prompt; without `prompt`, that alone."""
    rejected: str | None = None
    """The other one."""
    response_a: str | None = None
    """The first of two responses that are compared by a `label`, in the same forms."""
    response_b: str | None = None
    """The second."""
    label: str | None = None
    """Which of them is better: a, b or tie; 1 or 2; model_a, model_b; a list of them, where several labelled."""
    labels: Annotated[dict[str, Meaning], BeforeValidator(_words)] = Field(default={})
    """What its values mean, where they are other words: `{left: a, right: b, same: tie}`. Needed for 0 and 1."""
    annotator: str | None = None
    """Who labelled; rows of the same pair by several of them are votes."""
    tie: str | None = None
    """True or 1 where the pair is a tie, whatever the label says."""
    writers: list[str] = Field(default=[], max_length=2)
    """The two columns that name the models of the two responses."""
    completions: str | None = None
    """A list of {response, model, …} a row; `scores` and `ranks` then name fields of these."""
    scores: dict[ScoreName, str | list[str]] = Field(default={})
    """Scores of responses by the names that judges of kind `score` call them: a column with one number for the row's
    `response`, or a list of numbers beside `responses`; or a column for each response, or for each of the two sides."""
    ranks: str | None = None
    """Ranks beside `responses`, 1 for the best; a score called `rank`, of negative ranks."""

    @property
    def compares(self) -> bool:
        """Whether it says which of two responses is better."""
        return bool((self.chosen and self.rejected) or (self.response_a and self.response_b and self.label))

    @property
    def score_names(self) -> list[str]:
        """Of the scores that it gives."""
        return [*self.scores, *([RANK] if self.ranks else [])]

    @property
    def says_something(self) -> bool:
        """Whether any of it is named."""
        return any(getattr(self, name) for name in LabelColumns.model_fields)
