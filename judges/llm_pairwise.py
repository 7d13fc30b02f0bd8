"""Comparisons of two responses by a model, in both orders."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pairwright.judges.llm.base import LlmJudge
from pairwright.judges.llm.parse import read_choice
from pairwright.judges.llm.prompts import Shown, render
from pairwright.judges.llm.units import Ask, Prompt, Unit
from pairwright.judges.llm.weigh import probabilities
from pairwright.judges.planner import PairPlan
from pairwright.models.serving.answers import failure_of, joined, text_of
from pairwright.models.serving.call import Answer
from pairwright.models.serving.reply import Choice
from pairwright.schemas.kinds import Runtime

TIE = "tie"


class LlmPairwise(LlmJudge):
    """Says which of two responses is better.

    `p_a`, the probability that the first (in id order) is better, is the mean over both orders, so that a judge that
    always takes the first ends at one half. Responses get the Bradley-Terry strengths of their prompt's comparisons.
    """

    kind: Literal["llm-pairwise"] = "llm-pairwise"
    orders: Literal["both", "one"] = "both"
    """both: each pair is shown twice, once in each order. one: once, in an order drawn by seed."""
    ties: bool = True
    """Whether the judge may call two responses equal."""
    pairs: Annotated[Literal["sampled", "all", "adjacent"], Runtime] = "sampled"
    """sampled: about `pairs_per_response` pairs for each response, which connect all of them. all: n(n−1)/2.
    adjacent: n−1, each response with the next when they are ordered by the scores of the judge `pairs_by`. What a
    verdict says does not depend on it, so changing it keeps all verdicts that there are."""
    pairs_per_response: Annotated[int, Field(ge=1), Runtime] = 2
    """Of `sampled`: comparisons of a prompt with n responses are at most this times n."""
    pairs_by: Annotated[str | None, Runtime] = None
    """Of `adjacent`: name of the judge whose scores order the responses, best first; those without a score go last,
    equal ones by id. Where its scores change, only new neighbours are compared."""
    answer_key: str = "verdict"
    """Of the verdict in the answer's JSON object, for a template of one's own."""

    asks_about: ClassVar[Literal["response", "pair", "prompt"]] = "pair"

    @model_validator(mode="after")
    def _adjacent_by_a_judge(self) -> Self:
        if (self.pairs == "adjacent") != (self.pairs_by is not None):
            raise ValueError(
                f"pairs is {self.pairs!r} and pairs_by is {self.pairs_by!r}; `pairs: adjacent` and `pairs_by: JUDGE` "
                "want each other"
            )
        return self

    def pair_plan(self) -> PairPlan:
        """By the options; the draw by the judge's seed."""
        return PairPlan(self.pairs, self.pairs_per_response, self.seed, self.pairs_by)

    def units(self, prompt: Prompt, wanted: list[tuple[str, ...]]) -> Iterator[tuple[Any, list[Ask]]]:
        """One unit a pair: the votes of the first order, then those of the other."""
        for a, b in sorted(wanted):
            orders = [[a, b], [b, a]]
            if self.orders == "one":
                orders = orders[self._coin(a, b) :][:1]
            yield (a, b), [Ask(order, "pair", vote) for order in orders for vote in range(self.votes)]

    def chat(self, prompt: Prompt, ask: Ask) -> tuple[str, dict[str, Any]]:
        """The prompt of one order."""
        text = render(
            self.template_source,
            messages=prompt.messages,
            references=self.references_of(prompt),
            responses=[Shown(label, prompt.responses[one]) for label, one in zip("AB", ask.shown, strict=True)],
            criteria=self.criteria_of(prompt),
            answer_first=self.answer_first,
            choices=self._choices,
            key=self.answer_key,
        )
        verdict = {"type": "string", "enum": self._choices}
        return text, self.answer_schema({"rationale": {"type": "string"}, self.answer_key: verdict})

    def read(self, prompt: Prompt, ask: Ask, choice: Choice) -> tuple[float, str | None]:
        """Probability that the response shown first is better, and the reasons."""
        label, rationale = read_choice(choice.text, self.answer_key, self._choices)
        share = {"A": 1.0, "B": 0.0, TIE: 0.5}[label]
        if self.logprobs and (shares := probabilities(choice, self.answer_key, self._choices)) is not None:
            share = shares["A"] + shares.get(TIE, 0.0) / 2
        return share, rationale or choice.reasoning

    def rows(self, unit: Unit, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """One row: p_a over the orders, and the verdict of each order."""
        a, b = unit.subject
        failure = failure_of(answers)
        row = {
            "prompt_id": unit.prompt.prompt_id,
            "response_a": a,
            "response_b": b,
            "criterion": "better",
            "raw": joined([text_of(one) for one in answers]),
            "cost_usd": sum(one.cost_usd for one in answers),
        }
        if failure is not None:
            return [row | {"per_order": self._per_order(unit, answers), "failure": failure, "retry": True}]
        orders = [one for one in self._per_order(unit, answers) if one is not None]
        verdict = {"p_a": statistics.fmean(orders), "per_order": self._per_order(unit, answers), "retry": False}
        confidence = _agreement(unit, answers) if self.votes > 1 else None
        return [row | verdict | {"rationale": joined([one.value[1] for one in answers]), "confidence": confidence}]

    @property
    def _choices(self) -> list[str]:
        return ["A", "B", TIE] if self.ties else ["A", "B"]

    def _coin(self, a: str, b: str) -> int:
        return (int(a[-8:], 16) + int(b[-8:], 16) + self.seed) % 2

    def _per_order(self, unit: Unit, answers: Sequence[Answer]) -> list[float | None]:
        """p_a as told with `a` shown first, and with `b` first; null where it was not asked or not answered."""
        found: list[float | None] = []
        for first in unit.subject:
            mine = [answer for one, answer in zip(unit.asks, answers, strict=True) if one.shown[0] == first]
            if not mine or failure_of(mine) is not None:
                found.append(None)
                continue
            share = statistics.fmean(answer.value[0] for answer in mine)
            found.append(share if first == unit.subject[0] else 1.0 - share)
        return found


def _agreement(unit: Unit, answers: Sequence[Answer]) -> float:
    """Share of the votes of an order that say the same as most of them, over the orders."""
    shares = []
    for first in {one.shown[0] for one in unit.asks}:
        votes = [
            round(answer.value[0], 6) for one, answer in zip(unit.asks, answers, strict=True) if one.shown[0] == first
        ]
        sides = Counter(0 if vote == 0.5 else 1 if vote > 0.5 else -1 for vote in votes)
        shares.append(max(sides.values()) / len(votes))
    return statistics.fmean(shares)
