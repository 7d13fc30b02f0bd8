"""A router: a model that sorts prompts into domains, for judges that treat domains differently."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field

from pairwright.judges.llm.parse import read_choice
from pairwright.judges.llm.prompts import render, source_of
from pairwright.models.estimate import Estimate
from pairwright.models.serving.abilities import lacking
from pairwright.models.serving.answers import text_of
from pairwright.models.serving.ask import ask
from pairwright.models.serving.call import Answer, Call
from pairwright.models.serving.endpoint import TYPICAL_ANSWER, Endpoint, Tokens
from pairwright.models.serving.reasoning import told_apart
from pairwright.models.serving.reply import answer_of
from pairwright.models.serving.reply_store import ReplyStore
from pairwright.models.serving.structured import object_schema, response_format
from pairwright.schemas.ids import digest
from pairwright.schemas.kinds import Kind
from pairwright.schemas.paid_tables import Domains
from pairwright.schemas.tables import types


class Router(Kind, Endpoint, family="router"):
    """Asks a model which domain a prompt belongs to, one call a prompt, the reason before the domain."""

    kind: Literal["router"] = "router"
    domains: Annotated[dict[str, str], Field(min_length=2)]
    """What belongs to each domain, in a few words; they are shown in this order."""
    structured: bool = True
    """Ask for a JSON schema in `response_format`. The answer is checked all the same."""

    def content(self) -> dict[str, Any]:
        """The options, the order of the domains, and the template's text."""
        return {**super().content(), "domains": list(self.domains.items()), "template": digest(self._template)}

    def route(self, prompts: pl.DataFrame, replies: ReplyStore) -> Iterator[pl.DataFrame]:
        """Rows of the domains table for rows of the prompts table, as answers come in."""
        schema = dict(types(Domains))
        structured = self.structured and not lacking(self, {"schema"}, replies)
        rows = prompts.select("prompt_id", "messages").iter_rows()
        calls = (self._call(prompt_id, messages, structured) for prompt_id, messages in rows)
        for answers in ask(self, calls, replies):
            yield pl.DataFrame([_row(answer) for answer in answers], schema=schema)

    def estimate(self, prompts: pl.DataFrame, replies: ReplyStore) -> Estimate:
        """The calls that these prompts take, with their tokens, cost and time, without spending anything."""
        tokens, answer = Tokens(self.model), min(self.max_tokens, TYPICAL_ANSWER)
        asked = [
            tokens.of(self._chat(messages))
            for prompt_id, messages in prompts.select("prompt_id", "messages").iter_rows()
            if not replies.known(prompt_id)
        ]
        return self.estimate_of(len(asked), sum(asked), answer * len(asked), prompts.height)

    @property
    def _template(self) -> str:
        return source_of(Path(__file__).parent / "templates" / "router-v1.jinja")

    def _chat(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        return [{"role": "user", "content": render(self._template, messages=messages, domains=self.domains)}]

    def _call(self, prompt_id: str, messages: list[dict[str, str]], structured: bool) -> Call:
        body = self.sampling() | {"messages": self._chat(messages)}
        if structured:
            answer = {"rationale": {"type": "string"}, "domain": {"type": "string", "enum": list(self.domains)}}
            body["response_format"] = response_format(object_schema(answer))
        most = self.bound(body["messages"], self.max_tokens)
        return Call(prompt_id, prompt_id, None, "/chat/completions", body, most, self._read)

    def _read(self, reply: str) -> tuple[str, str | None]:
        """The domain, and why."""
        choice = told_apart(answer_of(reply, self.thinking), self.thinking)
        return read_choice(choice.text, "domain", list(self.domains))


def _row(answer: Answer) -> dict[str, Any]:
    domain, rationale = answer.value if answer.failure is None else (None, None)
    return {
        "prompt_id": answer.call.prompt_id,
        "domain": domain,
        "rationale": rationale,
        "failure": answer.failure,
        "retry": answer.failure is not None,
        "raw": text_of(answer),
        "cost_usd": answer.cost_usd,
    }
