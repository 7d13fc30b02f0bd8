"""Ratings by a model, aspect by aspect (UltraFeedback)."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pairwright.judges.base import NOT_APPLICABLE, Batch, cannot
from pairwright.judges.llm.base import LlmJudge
from pairwright.judges.llm.parse import read_rating, read_ratings
from pairwright.judges.llm.prompts import CROWDED, LABELS, Shown, render
from pairwright.judges.llm.shuffle import shuffled
from pairwright.judges.llm.units import Ask, Prompt, Unit
from pairwright.judges.llm.weigh import probabilities
from pairwright.models.serving.answers import failure_of, joined, text_of
from pairwright.models.serving.call import Answer
from pairwright.models.serving.reply import Choice
from pairwright.models.serving.structured import array_schema

RUBRICS = {
    "helpfulness": "How far the response gets this user with what they want: complete, useful, deep enough, clear.",
    "honesty": "Whether the response knows its limits: it says how sure it is, and admits what it cannot know or do. "
    "A response that has nothing to be sure or unsure of does not need this aspect.",
    "truthfulness": "Whether what the response states is so: facts, figures, code, reasoning.",
    "instruction-following": "Whether it does what was asked, all of it, in the form and limits that were set.",
}
"""The shipped aspects, in our own words."""


class Aspect(BaseModel):
    """Something that responses are rated for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    """What its column of verdicts calls it."""
    rubric: Annotated[str, Field(min_length=1)]
    """What the ratings mean."""
    not_applicable: bool = False
    """Whether the judge may answer N/A."""


SHIPPED = {name: Aspect(name=name, rubric=rubric, not_applicable=name == "honesty") for name, rubric in RUBRICS.items()}


class Rated(NamedTuple):
    """A rating with its reasons; None where the aspect does not apply."""

    value: float | None
    rationale: str | None


class LlmRating(LlmJudge):
    """Rates each response for each aspect; a response's score is the mean over the aspects that apply to it."""

    kind: Literal["llm-rating"] = "llm-rating"
    aspects: Annotated[list[Literal[*SHIPPED] | Aspect], Field(min_length=1)] = Field(  # type: ignore[valid-type]
        default_factory=lambda: list[Any]([*SHIPPED])
    )
    """Names of shipped aspects (helpfulness, honesty, truthfulness, instruction-following), or {name, rubric}."""
    scale: tuple[int, int] = (1, 5)
    """Worst and best rating."""
    per_call: Literal["one", "all"] = "one"
    """one: a call rates one response. all: it rates all of a prompt's, shuffled by seed (up to 26)."""
    answer_key: str = "rating"
    """Of the rating in the answer's JSON object, for a template of one's own."""

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.scale[0] >= self.scale[1]:
            raise ValueError(
                f"scale is {list(self.scale)}; the worst rating comes first and must be less than the best"
            )
        names = [one.name for one in self.rubrics]
        if len(set(names)) < len(names):
            raise ValueError(f"aspects names {', '.join(names)}; each may stand there once")
        return self

    @property
    def rubrics(self) -> list[Aspect]:
        """The aspects with their rubrics."""
        return [one if isinstance(one, Aspect) else SHIPPED[one] for one in self.aspects]

    @property
    def asks_about(self) -> Literal["response", "prompt"]:  # type: ignore[override]
        """A response, or under `per_call: all` a prompt: the ratings then lean on each other."""
        return "prompt" if self.per_call == "all" else "response"

    def units(self, prompt: Prompt, wanted: list[tuple[str, ...]]) -> Iterator[tuple[Any, list[Ask]]]:
        """One unit an aspect and response, or an aspect and prompt."""
        ids = sorted(response for (response,) in wanted)
        for aspect in self.rubrics:
            if self.per_call == "one":
                for response in ids:
                    yield aspect, [Ask([response], aspect.name, vote) for vote in range(self.votes)]
            elif len(ids) <= len(LABELS):
                orders = [shuffled(ids, self.seed, aspect.name, str(vote)) for vote in range(self.votes)]
                yield aspect, [Ask(order, aspect.name, vote) for vote, order in enumerate(orders)]

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Ratings; too many responses for one call get rows that say so."""
        if self.per_call == "all":
            crowded = work.responses.filter(pl.len().over("prompt_id") > len(LABELS))
            for aspect in self.rubrics:
                yield cannot(crowded, aspect.name, f"{CROWDED}; use per_call: one")
        yield from super().judge(work)

    def chat(self, prompt: Prompt, ask: Ask) -> tuple[str, dict[str, Any]]:
        """The prompt of one aspect."""
        aspect, many = self._aspect(ask), self.per_call == "all"
        labels = LABELS[: len(ask.shown)]
        text = render(
            self.template_source,
            messages=prompt.messages,
            references=self.references_of(prompt),
            responses=[Shown(label, prompt.responses[one]) for label, one in zip(labels, ask.shown, strict=False)],
            aspect=aspect,
            criteria=self.criteria_of(prompt),
            low=self.scale[0],
            high=self.scale[1],
            not_applicable=aspect.not_applicable,
            answer_first=self.answer_first,
            many=many,
            key=self.answer_key,
        )
        rating: dict[str, Any] = {"type": "number", "minimum": self.scale[0], "maximum": self.scale[1]}
        if aspect.not_applicable:
            rating = {"anyOf": [rating, {"type": "string", "enum": ["N/A"]}]}
        if not many:
            return text, self.answer_schema({"rationale": {"type": "string"}, self.answer_key: rating})
        item = {"response": {"type": "string", "enum": list(labels)}, "rationale": {"type": "string"}, "rating": rating}
        items = {"type": "object", "properties": item, "required": list(item), "additionalProperties": False}
        return text, self.answer_schema({"ratings": array_schema(items, len(labels))})

    def read(self, prompt: Prompt, ask: Ask, choice: Choice) -> dict[str, Rated]:
        """Response id → rating."""
        aspect, (low, high) = self._aspect(ask), self.scale
        if self.per_call == "one":
            value, rationale = read_rating(choice.text, self.answer_key, low, high, aspect.not_applicable)
            return {ask.shown[0]: Rated(self._weighed(choice, value), rationale or choice.reasoning)}
        ratings = read_ratings(choice.text, LABELS[: len(ask.shown)], low, high, aspect.not_applicable)
        return {ask.shown[LABELS.index(label)]: Rated(*found) for label, found in ratings.items()}

    def _weighed(self, choice: Choice, value: float | None) -> float | None:
        """The scale's mean by the model's probabilities, where they are wanted and told; else the written rating."""
        if not self.logprobs or value is None or value != int(value):
            return value
        shares = probabilities(choice, self.answer_key, [str(one) for one in range(self.scale[0], self.scale[1] + 1)])
        return value if shares is None else sum(int(one) * share for one, share in shares.items())

    def rows(self, unit: Unit, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """A row a response: the mean over the votes."""
        failure = failure_of(answers)
        shown = sorted(unit.asks[0].shown)
        cost = sum(one.cost_usd for one in answers) / len(shown)
        raw = joined([text_of(one) for one in answers])
        return [
            {
                "prompt_id": unit.prompt.prompt_id,
                "response_id": response,
                "criterion": unit.subject.name,
                "raw": raw,
                "cost_usd": cost,
                **self._verdict(failure, [one.value[response] for one in answers] if failure is None else []),
            }
            for response in shown
        ]

    def _verdict(self, failure: str | None, ratings: list[Rated]) -> dict[str, Any]:
        if failure is not None:
            return {"failure": failure, "retry": True}
        values = [one.value for one in ratings if one.value is not None]
        rationale = joined([one.rationale for one in ratings])
        if len(values) * 2 <= len(ratings):
            return {"failure": NOT_APPLICABLE, "retry": False, "rationale": rationale}
        agreeing = max(sum(one.value == value for one in ratings) for value in values) / len(ratings)
        return {
            "score": statistics.fmean(values),
            "retry": False,
            "rationale": rationale,
            "confidence": agreeing if self.votes > 1 else None,
        }

    def _aspect(self, ask: Ask) -> Aspect:
        return next(one for one in self.rubrics if one.name == ask.purpose)
