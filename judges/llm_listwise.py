"""Rankings of all responses of a prompt by a model, in one call, shown in several orders."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import Field

from pairwright.judges.base import Batch, cannot
from pairwright.judges.llm.base import LlmJudge
from pairwright.judges.llm.parse import read_order
from pairwright.judges.llm.prompts import CROWDED, LABELS, Shown, render
from pairwright.judges.llm.shuffle import shuffled
from pairwright.judges.llm.units import Ask, Prompt, Unit
from pairwright.models.serving.answers import failure_of, joined, text_of
from pairwright.models.serving.call import Answer
from pairwright.models.serving.reply import Choice
from pairwright.models.serving.structured import array_schema


class LlmListwise(LlmJudge):
    """Ranks a prompt's responses; a score is the mean share of the others that a response is ranked above."""

    kind: Literal["llm-listwise"] = "llm-listwise"
    asks_about: ClassVar[Literal["response", "pair", "prompt"]] = "prompt"
    orders: Annotated[int, Field(ge=1, le=16)] = 2
    """How many orders the responses are shown in, drawn by seed; every second one is the one before it reversed."""

    def units(self, prompt: Prompt, wanted: list[tuple[str, ...]]) -> Iterator[tuple[Any, list[Ask]]]:
        """One unit a prompt."""
        ids = sorted(response for (response,) in wanted)
        asks = []
        for number in range(self.orders):
            order = shuffled(ids, self.seed, "list", str(number // 2))
            asks += [Ask(order[:: -1 if number % 2 else 1], f"list-{number}", vote) for vote in range(self.votes)]
        if 1 < len(ids) <= len(LABELS):
            yield ids, asks

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Rankings; a response without another beside it, or with too many, gets a row that says so."""
        count = pl.len().over("prompt_id")
        yield cannot(work.responses.filter(count == 1), "rank", "the prompt has no other response to rank it against")
        yield cannot(work.responses.filter(count > len(LABELS)), "rank", CROWDED)
        rest = work.responses.filter((count > 1) & (count <= len(LABELS)))
        wanted = work.wanted if work.wanted.width else rest.select(self.keys)
        wanted = wanted.join(rest.select(self.keys), on=self.keys, how="semi", maintain_order="left")
        yield from super().judge(work._replace(responses=rest, wanted=wanted))

    def chat(self, prompt: Prompt, ask: Ask) -> tuple[str, dict[str, Any]]:
        """The prompt of one order."""
        labels = list(LABELS[: len(ask.shown)])
        text = render(
            self.template_source,
            messages=prompt.messages,
            references=self.references_of(prompt),
            responses=[Shown(label, prompt.responses[one]) for label, one in zip(labels, ask.shown, strict=False)],
            criteria=self.criteria_of(prompt),
            answer_first=self.answer_first,
        )
        ranking = array_schema({"type": "string", "enum": labels}, len(labels))
        return text, self.answer_schema({"rationale": {"type": "string"}, "ranking": ranking})

    def read(self, prompt: Prompt, ask: Ask, choice: Choice) -> tuple[dict[str, float], str | None]:
        """Response id → share of the others that it is ranked above."""
        count = len(ask.shown)
        order, rationale = read_order(choice.text, LABELS[:count])
        shares = {ask.shown[LABELS.index(label)]: 1 - place / (count - 1) for place, label in enumerate(order)}
        return shares, rationale or choice.reasoning

    def rows(self, unit: Unit, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """A row a response: the mean over orders and votes, and how near the orders came to each other."""
        failure = failure_of(answers)
        raw = joined([text_of(one) for one in answers])
        cost = sum(one.cost_usd for one in answers) / len(unit.subject)
        rows = []
        for response in unit.subject:
            row = {
                "prompt_id": unit.prompt.prompt_id,
                "response_id": response,
                "criterion": "rank",
                "raw": raw,
                "cost_usd": cost,
                "failure": failure,
                "retry": failure is not None,
            }
            if failure is None:
                shares = [one.value[0][response] for one in answers]
                row |= {
                    "score": statistics.fmean(shares),
                    "confidence": 1 - (max(shares) - min(shares)) if len(shares) > 1 else None,
                    "rationale": joined([one.value[1] for one in answers]),
                }
            rows.append(row)
        return rows
