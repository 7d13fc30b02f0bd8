"""Policies over the OpenAI protocol: chat models, and base models that go on with a text."""

from typing import Any, ClassVar, Literal

from pairwright.assets.sampling.policies.served import ServedPolicy


class Chat(ServedPolicy):
    """A chat model on any server that speaks the OpenAI protocol."""

    kind: Literal["openai"] = "openai"

    path: ClassVar[str] = "/chat/completions"

    def request(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """A chat."""
        return {"messages": messages}


class Completion(ServedPolicy):
    """A base model: it goes on with the conversation's texts, joined by `joiner`."""

    kind: Literal["openai-completions"] = "openai-completions"
    joiner: str = "\n\n"
    """Stands between the turns, and after the last."""

    path: ClassVar[str] = "/completions"

    @property
    def reads_tools(self) -> bool:
        """A text has none."""
        return False

    def request(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """A text to go on with."""
        return {"prompt": "".join(one["content"] + self.joiner for one in messages)}
