"""Shapes of preference sets: which columns hold the prompt, what is compared, and what was said of it.

A shape is told by the recipe, or recognised by the names that public sets use. The records of any shape become records
of one form (see `labelled_rows`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

LABEL = "label"
"""The annotator of labels that no column names one for, and of sets that say which side was chosen."""
PROMPTS = ("prompt", "instruction", "question", "context", "query", "history", "input", "messages", "conversations")
SIDES = (
    ("response_a", "response_b"), ("conversation_a", "conversation_b"), ("answer_a", "answer_b"),
    ("completion_a", "completion_b"), ("response_1", "response_2"), ("response1", "response2"),
    ("output_1", "output_2"), ("response_0", "response_1"), ("human_ref_A", "human_ref_B"),
)  # fmt: skip
CHOSEN = (("chosen", "rejected"), ("chosen_response", "rejected_response"), ("preferred", "dispreferred"))
LABELS = (
    "human_label", "label", "labels", "winner", "preference", "preferred", "better_response_id", "overall_preference",
    "preference_strength", "choice",
)  # fmt: skip
STRENGTHS = ("overall_preference", "preference_strength")
"""Below 0 where the first is better, by so much; above it, where the second is."""
ANNOTATORS = ("annotator", "annotator_id", "annotator_name", "judge", "worker_id", "labeler")
TIES = ("tie", "winner_tie")
RESPONSES = ("responses", "answers", "candidates")
RESPONSE = ("response", "completion", "answer", "output")
POLICY = ("model", "policy", "generator")
POLICIES = ("policies", "models", "generators")
RANKS = ("ranks", "ranking", "rank")
SCORES = (
    "score", "scores", "reward", "rewards", "rating", "ratings", "overall_score", "helpfulness", "correctness",
    "coherence", "complexity", "verbosity", "honesty", "harmlessness", "instruction_following", "truthfulness",
)  # fmt: skip
GOOD = ("label", "kto_tag")
"""Of one response: whether it is a good one."""
SIDE_SCORES = (
    ("score", "score_chosen", "score_rejected"), ("rating", "chosen_rating", "rejected_rating"),
    ("score", "chosen_score", "rejected_score"), ("reward", "chosen_reward", "rejected_reward"),
)  # fmt: skip
WRITERS = (("model_a", "model_b"), ("chosen_model", "rejected_model"), ("model_1", "model_2"))
KEPT = ("references", "domain", "system", "tags", "source", "license", "split", "tests")
"""Columns that mean the same in every shape."""


class Shape(NamedTuple):
    """Which columns of a source hold what."""

    prompt: str | None = None
    sides: tuple[str, str] | None = None
    """Two responses, or conversations that end with them."""
    chosen: bool = False
    """Whether the first of the sides is the better one, by its name."""
    responses: tuple[str, ...] = ()
    """One column with a list, or one a response."""
    response: str | None = None
    """One response a row."""
    completions: str | None = None
    """A list of {response, model, …} a row."""
    conversation: str | None = None
    """A conversation that ends with its one response."""
    policies: str | None = None
    policy: str | None = None
    writers: tuple[str, str] | None = None
    """Of the sides: the columns that name the models."""
    label: str | None = None
    labels: Mapping[str, str] = {}
    """What the label's values mean, where they are no words of ours."""
    annotator: str | None = None
    tie: str | None = None
    scores: Mapping[str, tuple[str, ...]] = {}
    """Columns of each score: one, or one a side or response. Of completions, the field."""
    ranks: str | None = None
    """1 for the best, beside responses; of completions, the field."""

    def columns(self) -> list[str]:
        """All that it reads."""
        single = (
            self.prompt,
            self.response,
            self.completions,
            self.conversation,
            self.policies,
            self.policy,
            self.label,
        )
        said = (self.label, self.annotator, self.tie)
        own = () if self.completions else (*(name for names in self.scores.values() for name in names), self.ranks)
        several = (*(self.sides or ()), *(self.writers or ()), *self.responses, *single, *said, *own)
        return list(dict.fromkeys(name for name in several if name))

    @property
    def compares(self) -> bool:
        """Whether somebody says of two responses which is better."""
        return self.chosen or self.label is not None

    def told(self) -> str:
        """In a few words."""
        how = {True: "chosen and rejected", False: f"two responses and {self.label or 'no label'}"}[self.chosen]
        if self.sides:
            return how
        what = self.completions or self.conversation or ", ".join(self.responses) or self.response or "no responses"
        return f"{what} with {', '.join([*self.scores, *(['ranks'] if self.ranks else [])]) or 'nothing said of them'}"


def known_names() -> list[str]:
    """Every column name that a shape is recognised by."""
    pairs = [name for names in (*SIDES, *CHOSEN, *WRITERS) for name in names]
    sided = [name for _, *names in SIDE_SCORES for name in names]
    single = (
        *PROMPTS,
        *LABELS,
        *ANNOTATORS,
        *TIES,
        *RESPONSES,
        *RESPONSE,
        *POLICY,
        *POLICIES,
        *RANKS,
        *SCORES,
        *GOOD,
        *KEPT,
    )
    return list(dict.fromkeys([*pairs, *single, *sided, "completions"]))


def recognised(names: Sequence[str], told: Mapping[str, Any] | None = None) -> Shape | None:
    """The shape of a source by its columns' names; None where it has nothing of the sort.

    `told` are fields of a shape that somebody has named; they stand as they are.
    """
    there, told = set(names), dict(told or {})
    told = {field: value for field, value in told.items() if value}
    prompt = told.pop("prompt", None) or _first(PROMPTS, there)
    if told.keys() & {"sides", "responses", "response", "completions", "conversation"}:
        shape = Shape(prompt=prompt, **told)
        if shape.sides and not shape.chosen and not shape.label:
            shape = shape._replace(**_label(there))
        return shape
    found = _pair(there, prompt, told.get("label")) or _list(there, prompt) or _single(there, prompt)
    return found._replace(**told) if found else None


def _pair(there: set[str], prompt: str | None, label: str | None) -> Shape | None:
    scores = {name: sides for name, *sides in SIDE_SCORES if set(sides) <= there}
    writers = next((names for names in WRITERS if set(names) <= there), None)
    for one, other in CHOSEN:
        if {one, other} <= there and not {"response_a", "response_b", "human_label"} <= there:
            of_sides = {name: tuple(sides) for name, sides in scores.items()}
            shape = Shape(prompt=prompt, sides=(one, other), chosen=True, scores=of_sides, writers=writers)
            return shape._replace(annotator=_first(ANNOTATORS, there))
    for one, other in SIDES:
        if {one, other} <= there and (label or _first(LABELS, there)):
            return Shape(prompt=prompt, sides=(one, other), writers=writers, **_label(there))
    return None


def _label(there: set[str]) -> dict[str, Any]:
    label = _first(LABELS, there)
    labels = {"0": "tie"} | {f"{sign}{n}": side for sign, side in (("-", "a"), ("", "b")) for n in range(1, 4)}
    if label == "labels" and "human_ref_A" in there:
        return {"label": label, "labels": {"1": "a", "0": "b"}}
    if label == "better_response_id":
        return {"label": label, "labels": {"0": "a", "1": "b"}, "annotator": None}
    meaning = labels if label in STRENGTHS else {}
    return {"label": label, "labels": meaning, "annotator": _first(ANNOTATORS, there), "tie": _first(TIES, there)}


def _list(there: set[str], prompt: str | None) -> Shape | None:
    if "completions" in there and prompt and "labels" not in there:  # else these are steps
        return Shape(prompt=prompt, completions="completions")
    responses = _first(RESPONSES, there)
    if not responses:
        return None
    scores = {name: (name,) for name in SCORES if name in there}
    ranks = _first(RANKS, there)
    return Shape(prompt=prompt, responses=(responses,), scores=scores, ranks=ranks, policies=_first(POLICIES, there))


def _single(there: set[str], prompt: str | None) -> Shape | None:
    response = next((name for name in RESPONSE if name in there and name != prompt), None)
    scores = {name: (name,) for name in (*SCORES, *GOOD) if name in there}
    ranks = _first(RANKS, there)
    if not response or not (scores or ranks):
        return None
    return Shape(prompt=prompt, response=response, scores=scores, ranks=ranks, policy=_first(POLICY, there))


def _first(wanted: Sequence[str], there: set[str]) -> str | None:
    return next((name for name in wanted if name in there), None)
