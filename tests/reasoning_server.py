"""A loopback server that refuses what reasoning models refuse, in the words of the real ones, and thinks aloud."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from replay_server import App, Settings, judge_by_hash, number, reply

UNSUPPORTED = "Unsupported parameter: '{}' is not supported with this model."
WORDS = {
    "max_tokens": UNSUPPORTED.format("max_tokens") + " Use 'max_completion_tokens' instead.",
    "temperature": "Unsupported value: 'temperature' does not support {value} with this model. "
    "Only the default (1) value is supported.",
    "top_p": UNSUPPORTED.format("top_p"),
    "seed": "Unrecognized request argument supplied: seed",
    "logprobs": "You are not allowed to request logprobs from this model.",
    "stop": UNSUPPORTED.format("stop"),
    "n": "Unsupported value: 'n' does not support {value} with this model. Only the default (1) value is supported.",
}
USUAL = {"temperature": 1, "n": 1}
"""Values of a field that are taken all the same."""


class Reasoner(App):
    """Refuses `refused`; `field` is what it calls its reasoning, or `tags`, where that stands in the text, or None."""

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str] = judge_by_hash,
        refused: tuple[str, ...] = tuple(WORDS),
        field: str | None = "reasoning_content",
        tokens: int = 100,
    ) -> None:
        super().__init__(Settings(), answer)
        self.refused, self.field, self.tokens = refused, field, tokens
        self.refusals = 0
        self.endless = False
        """Whether it thinks until its tokens are spent."""

    async def route(self, path: str, body: bytes, send: Any) -> None:
        if not path.endswith("/chat/completions"):
            return await super().route(path, body, send)
        asked = json.loads(body)
        for name in self.refused:
            if name in asked and asked[name] != USUAL.get(name):
                self.refusals += 1
                said = WORDS[name].format(value=asked[name])
                error = {"message": said, "type": "invalid_request_error", "param": name, "code": "unsupported_value"}
                return await reply(send, 403 if name == "logprobs" else 400, {"error": error})
        await asyncio.sleep(0)
        return await super().route(path, body, send)

    def thinks(self, body: dict[str, Any]) -> bool:
        """Whether this request is thought about: templates may be told not to."""
        return bool(body.get("chat_template_kwargs", {}).get("enable_thinking", True))

    def thought(self, body: dict[str, Any]) -> str:
        """What it thinks, with a draft of a verdict in it."""
        return f'Perhaps {{"verdict": "tie", "rating": 1}}? {number(str(body["messages"])):.6f}'

    def chat_of(self, body: dict[str, Any], texts: list[str], fault: str) -> dict[str, Any]:
        if not self.thinks(body):
            return super().chat_of(body, texts, fault)
        thought = self.thought(body)
        if self.endless:
            found = super().chat_of(body, [""], "length")
            found["choices"][0]["finish_reason"] = "length"
        else:
            found = super().chat_of(body, texts, fault)
        for choice in found["choices"]:
            message = choice["message"]
            if self.field == "tags":
                closed = "" if self.endless else "</think>\n\n" + message["content"]
                message["content"] = f"<think>\n{thought}\n{closed}"
            elif self.field is not None:
                message[self.field] = thought
        usage = found["usage"]
        usage["completion_tokens"] += self.tokens * len(found["choices"])
        usage["completion_tokens_details"] = {"reasoning_tokens": self.tokens * len(found["choices"])}
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        return found
