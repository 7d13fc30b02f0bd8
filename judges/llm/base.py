"""What judges that ask a model have in common: options, calls in flight, and rows from replies."""

import contextlib
import inspect
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import Field, ValidationInfo, field_validator, model_validator

from pairwright.judges.base import Batch, Judge
from pairwright.judges.llm.prompts import TemplateError, source_of
from pairwright.judges.llm.trial import try_out
from pairwright.judges.llm.typed import Sees, with_media
from pairwright.judges.llm.units import Ask, Prompt, Unit, units_of
from pairwright.models.estimate import Estimate
from pairwright.models.serving.abilities import lacking
from pairwright.models.serving.ask import ask
from pairwright.models.serving.call import Answer, Call
from pairwright.models.serving.endpoint import TYPICAL_ANSWER, Endpoint, Tokens
from pairwright.models.serving.reasoning import told_apart
from pairwright.models.serving.reply import Choice, UnusableError, answer_of
from pairwright.models.serving.reply_store import ReplyStore, Spent
from pairwright.models.serving.structured import object_schema, response_format
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.ids import digest, seed_of
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.tables import types

DEFAULT_CRITERIA = "default"
"""The key of the criteria for prompts whose domain has none of its own."""
WEIGHING = 2
"""Raised when the same log-probs would give another verdict."""


class LlmJudge(Judge, Endpoint):
    """Asks a model for verdicts, one JSON object a call, the reasons before the verdict."""

    system: str = ""
    """System prompt, if any."""
    template: Annotated[Path | None, Runtime] = None
    """A Jinja file of one's own in place of the shipped prompt; relative paths start at the recipe's folder. Its
    text, not its path, is part of the fingerprint."""
    criteria: dict[str, str] = Field(default_factory=dict)
    """What to judge by, as text: `default`, or by the domain of the prompt."""
    votes: Annotated[int, Field(ge=1, le=64)] = 1
    """Calls a verdict, with seeds of their own; their agreement is kept as confidence."""
    reference: bool = False
    """Show the prompt's gold answers to the judge."""
    sees: Sees = "answer"
    """What of a response is shown: its answer with the calls in it, what it thought before, or both."""
    answer_first: bool = False
    """The judge writes its own answer before it judges (Self-Reference)."""
    structured: bool = True
    """Ask for a JSON schema in `response_format`. The answer is checked all the same."""
    logprobs: bool | Literal["optional"] = False
    """Weigh verdicts by the model's probabilities. true: a build stops where the server does not tell them, and an
    answer that comes without them is a failure. optional: the written verdict then stands. Under `structured: true` a
    server may tell them after the schema's mask: what the model would have said outside of the form is then not seen.
    `structured: false` shows it, and a verdict whose labels have less than half of the probability is not weighed."""

    audit_fraction: Annotated[float, Field(ge=0, le=1), Runtime] = 0.0
    """Share of the prompts, drawn by seed, that a build asks about a second time, to see how often the judge
    contradicts itself. Second answers are kept as round 1, and the newest round counts. They are asked for with seeds
    of their own; at temperature 0, where nothing is drawn, they tell how steady the server is, and no more."""

    @field_validator("template")
    @classmethod
    def _beside_recipe(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None or value.is_absolute() or not isinstance(info.context, dict):
            return value
        return Path(info.context["path"]).parent / value

    @model_validator(mode="after")
    def _votes_differ(self) -> Self:
        if self.votes > 1 and self.temperature == 0:
            raise ValueError(
                f"votes: {self.votes} at temperature 0 would ask for the same answer again; raise temperature"
            )
        return self

    @model_validator(mode="after")
    def _template_gives_prompts(self) -> Self:
        """Try a template of one's own before anything is spent."""
        if self.template is not None:
            try_out(self.template, self.keys, self.units, self.chat)
        return self

    @property
    def reads(self) -> tuple[Literal["references", "domain"], ...]:  # type: ignore[override]
        """The references, if it is shown them, and the domain, if criteria go by it."""
        by_domain = set(self.criteria) - {DEFAULT_CRITERIA}
        return (*(("references",) if self.reference else ()), *(("domain",) if by_domain else ()))

    reads_calls: ClassVar[bool] = True
    repeatable: ClassVar[bool] = False
    calls_server: ClassVar[bool] = True

    @property
    def modalities(self) -> Sequence[str]:
        """As the recipe says that the model reads."""
        return self.input_modalities

    @property
    def wants_reasoning(self) -> bool:
        """Where nothing else is shown."""
        return self.sees == "reasoning"

    @property
    def audited(self) -> tuple[float, int]:
        """The share that is asked about twice, and the seed."""
        return self.audit_fraction, self.seed

    @property
    def template_source(self) -> str:
        """The text of the prompt template; by default `templates/<kind>-v1.jinja` beside the judge's module."""
        kind = str(type(self).model_fields["kind"].default)
        shipped = Path(inspect.getfile(type(self))).parent / "templates" / f"{kind.removeprefix('llm-')}-v1.jinja"
        return source_of(self.template or shipped)

    def content(self) -> dict[str, Any]:
        """The options, and the template's text."""
        weighed = {"weighing": WEIGHING} if self.logprobs else {}
        return {**super().content(), "template": digest(self.template_source), **weighed}

    @abstractmethod
    def units(self, prompt: Prompt, wanted: list[tuple[str, ...]]) -> Iterator[tuple[Any, list[Ask]]]:
        """What a prompt's wanted verdicts take: each subject with its calls."""

    @abstractmethod
    def chat(self, prompt: Prompt, ask: Ask) -> tuple[str, dict[str, Any]]:
        """The prompt text of a call, and the JSON schema of its answer."""

    @abstractmethod
    def read(self, prompt: Prompt, ask: Ask, choice: Choice) -> Any:
        """The verdict in an answer. Raises UnusableError."""

    @abstractmethod
    def rows(self, unit: Unit, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Rows of the judge's table from the answers to a unit's calls, in the order of its asks."""

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Verdicts as they come in; a reply that is already on the replies costs nothing."""
        without = self.goes_without(work.replies or ReplyStore())
        schema = {
            name: dtype for name, dtype in types(self.table).items() if name not in {"evidence", "fingerprint", "round"}
        }
        pending: dict[int, dict[int, Answer]] = {}
        unasked: list[Answer] = []
        asked = ask(self, self._calls(work, without, unasked), work.replies or ReplyStore())
        for answers in chain(asked, (unasked,)):
            rows = []
            for answer in answers:
                unit, place = answer.call.unit
                got = pending.setdefault(unit.number, {})
                got[place] = answer
                if len(got) == len(unit.asks):
                    del pending[unit.number]
                    rows += self.rows(unit, [got[i] for i in range(len(unit.asks))])
            if rows:
                yield pl.DataFrame(rows, schema=schema)

    def goes_without(self, replies: ReplyStore) -> frozenset[str]:
        """What calls leave out because the server cannot do it. Raises JudgeError where the recipe wants it."""
        wanted = {name for name, yes in {"schema": self.structured, "logprobs": bool(self.logprobs)}.items() if yes}
        found = lacking(self, wanted, replies)
        if "logprobs" in found and self.logprobs is True:
            raise JudgeError(
                f"{self.base_url}, model {self.model!r}: {found['logprobs'].detail}; `pairwright doctor` asks again"
            )
        return frozenset(found)

    def estimate(self, work: Batch) -> Estimate:
        """Calls that are missing, with their tokens, cost and time at the stated rate."""
        tokens, replies, calls, prompt_tokens = Tokens(self.model), work.replies or ReplyStore(), 0, 0
        for unit in units_of(work._replace(media=None), self.keys, self.units, self.sees):
            for one in unit.asks:
                if not replies.known(self._key(unit.prompt, one)):
                    with contextlib.suppress(TemplateError):  # a row of its own, and no call
                        prompt_tokens += tokens.of(self._messages(unit.prompt, one))
                        calls += 1
        written = calls * min(self.max_tokens, TYPICAL_ANSWER)
        return self.estimate_of(calls, prompt_tokens, written, work.wanted.height or work.responses.height)

    def _calls(self, work: Batch, without: frozenset[str], unasked: list[Answer]) -> Iterator[Call]:
        """The calls; those that the template gives no prompt for go to `unasked`, as failures."""
        for unit in units_of(work, self.keys, self.units, self.sees):
            for place, one in enumerate(unit.asks):
                try:
                    call = self._call(unit, place, one, without)
                except TemplateError as fault:
                    why, prompt_id = f"the template gives no prompt: {fault}", unit.prompt.prompt_id
                    call = Call(self._key(unit.prompt, one), prompt_id, (unit, place), "", {}, Spent(), str)
                    unasked.append(Answer(call, None, why, None, 0.0, 0))
                    continue
                yield call

    def _call(self, unit: Unit, place: int, one: Ask, without: frozenset[str]) -> Call:
        prompt = unit.prompt
        text, schema = self.chat(prompt, one)
        body = self.sampling() | {"messages": self._chat(prompt, text), "seed": self._seed(unit, one)}
        if self.structured and "schema" not in without:
            body["response_format"] = response_format(schema)
        if self.logprobs and "logprobs" not in without:
            body |= {"logprobs": True, "top_logprobs": 20}
        most = self.bound(body["messages"], self.max_tokens)

        def read(reply: str) -> Any:
            choice = told_apart(answer_of(reply, self.thinking), self.thinking)
            if self.logprobs is True and not choice.tokens:
                raise UnusableError(choice.without_tokens)
            return self.read(prompt, one, choice)

        return Call(self._key(prompt, one), prompt.prompt_id, (unit, place), "/chat/completions", body, most, read)

    def _seed(self, unit: Unit, one: Ask) -> int:
        """Of a call; in a later round another one, since the same question with the same draws has the same answer."""
        if unit.round == 0:
            return (self.seed + one.vote * 1000) % 2**31
        return seed_of("round", str(self.seed), str(unit.round), self._key(unit.prompt, one))

    def _key(self, prompt: Prompt, one: Ask) -> str:
        references = prompt.references if self.reference else []
        criteria = self.criteria_of(prompt)
        return digest(prompt.prompt_id, *one.shown, one.purpose, str(one.vote), criteria, *references)

    def _messages(self, prompt: Prompt, one: Ask) -> list[dict[str, Any]]:
        return self._chat(prompt, self.chat(prompt, one)[0])

    def _chat(self, prompt: Prompt, text: str) -> list[dict[str, Any]]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": with_media(text, prompt.media, prompt.address)}]

    def criteria_of(self, prompt: Prompt) -> str:
        """The criteria for a prompt: those of its domain, else the default."""
        return self.criteria.get(prompt.domain or DEFAULT_CRITERIA, self.criteria.get(DEFAULT_CRITERIA, ""))

    def references_of(self, prompt: Prompt) -> list[str]:
        """The gold answers that the judge may see."""
        return prompt.references if self.reference else []

    def answer_schema(self, properties: dict[str, Any]) -> dict[str, Any]:
        """JSON schema of an answer: the judge's own answer first, if asked for, then these properties, all required."""
        own: dict[str, Any] = {"own_answer": {"type": "string"}} if self.answer_first else {}
        return object_schema(own | properties)
