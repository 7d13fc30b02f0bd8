"""From messages and a response to token ids, with the boundary between them found by offsets in one rendered string.

A prompt is rendered by the model's chat template up to where the assistant begins, and the response follows as it is:
not a character of it is trimmed. The string is tokenised once; the first token that reaches into the response is the
first of the response. Nothing is added by the tokenizer, so a template with BOS does not get a second one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pairwright.models.local.turns import Turns
from pairwright.schemas.errors import JudgeError

Messages = Sequence[Mapping[str, Any]]
Tools = list[dict[str, Any]] | None
PLAIN_TURN = "### {role}\n{content}\n\n"
"""How a model without a chat template is shown a turn; the assistant's turn begins with its heading."""
ANSWER, REMARK = "An answer of one line", "A remark of one line"
"""Stand for a response and a follow-up while the template's text between them is found."""


class RefusalError(JudgeError):
    """A chat template does not take a conversation's turns."""


class Text(NamedTuple):
    """A response in its place, as token ids."""

    ids: list[int]
    """Prompt, response and the token that ends a turn; where the model has none, a stand-in that is not counted."""
    start: int
    """Index of the response's first token; its last is the one before the end token."""
    prompt: str
    """The rendered prompt, without turns that were dropped for want of room."""
    cut: int
    """Tokens cut from the left of what was rendered, behind its BOS."""
    truncated: bool
    """Whether anything of the prompt is missing."""
    head: int = 0
    """Tokens kept before those that are cut: a model's BOS, without which its numbers are no use."""

    def shortened(self, rendered: list[int]) -> list[int]:
        """Ids that begin like what was rendered, with the same ones cut."""
        return rendered[: self.head] + rendered[self.head + self.cut :]


class Renderer:
    """Renders for one tokenizer. `limit` is the greatest number of tokens of a sequence."""

    def __init__(self, tokenizer: Any, limit: int, label: str) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise JudgeError(f"{label}: its tokenizer gives no offsets; use a model with a tokenizer.json")
        self.tokenizer, self.limit, self.label = tokenizer, limit, label
        try:
            self.between, closing = self._after_the_answer()
        except RefusalError as refusal:
            raise JudgeError(f"{label}: {refusal}") from refusal
        self.end = self._end_token(closing)
        self.closing: list[int] = list(tokenizer(closing, add_special_tokens=False)["input_ids"]) if closing else []

    def prompt(self, messages: Messages, tools: Tools = None) -> str:
        """The conversation as text, up to where the assistant's answer begins."""
        if self.tokenizer.chat_template:
            return str(self._template(list(messages), answer=True, tools=tools))
        if tools or any("tool_calls" in message for message in messages):
            raise RefusalError("the model has no chat template, without which it cannot read tools and calls of them")
        turns = "".join(PLAIN_TURN.format(role=_role(m["role"]), content=m["content"]) for m in messages)
        return f"{self._bos()}{turns}### Assistant\n"

    def texts_of(self, turns: Turns, responses: Sequence[str]) -> list[Text | None]:
        """As `texts`, of a prompt's turns. Raises RefusalError also where they show what no text holds."""
        if turns.refused is not None:
            raise RefusalError(turns.refused)
        return self.texts(turns.messages, responses, turns.tools)

    def texts(self, messages: Messages, responses: Sequence[str], tools: Tools = None) -> list[Text | None]:
        """Each response after the prompt; None for one that does not fit in `limit` tokens.

        Raises RefusalError where the template does not take the prompt's turns.
        """
        prompt = self.prompt(messages, tools)
        end = 0 if self.end is None else self.end
        made: list[Text | None] = []
        for response, (ids, start) in zip(responses, self._split(prompt, responses), strict=True):
            shown, shorter = prompt, messages
            while len(ids) >= self.limit and len(kept := _without_oldest(shorter)) < len(shorter):
                shorter, shown = kept, self.prompt(kept, tools)
                ids, start = self._split(shown, [response])[0]
            cut = max(0, len(ids) + 1 - self.limit)
            if cut >= start:  # not one token of the prompt would be left to predict from
                made.append(None)
                continue
            missing = cut > 0 or len(shorter) < len(messages)
            head = int(cut > 0 and ids[0] == self.tokenizer.bos_token_id)
            text = Text([], start - cut, shown, cut, missing, head)
            made.append(text._replace(ids=[*text.shortened(ids), end]))
        return made

    def follow_up_texts(self, prompt: str, response: str, utterances: Sequence[str]) -> list[tuple[list[int], int]]:
        """Ids of the dialogue up to and with each follow-up, and the index of the follow-up's first token."""
        return self._split(prompt + response + self.between, utterances)

    def tails(self, utterances: Sequence[str]) -> list[tuple[list[int], int]]:
        """What follows a response up to each utterance's end: ids, and the index of the utterance's first token.

        Right only where a tokenizer cuts at the response's end, which callers check.
        """
        before = self.prompt([{"role": "user", "content": ANSWER}]) + ANSWER
        known = len(self._split(before, [""])[0][0])
        both = self._split(before + self.between, utterances)
        return [(ids[known:], start - known) for ids, start in both]

    def _split(self, prompt: str, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """Ids of prompt + text, and the index of the first token that reaches beyond the prompt."""
        encoded = self.tokenizer(
            [prompt + text for text in texts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        border = len(prompt)
        found = []
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            start = len(ids)
            while start and offsets[start - 1][1] > border:
                start -= 1
            found.append((ids, start))
        return found

    def _template(self, messages: list[Any], *, answer: bool, tools: Tools = None) -> str:
        given = {"tools": tools} if tools else {}
        try:
            return str(
                self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer, **given)
            )
        except Exception as error:  # templates raise whatever their author chose
            roles = ", ".join(message["role"] for message in messages)
            reason = " ".join(str(error).split())
            raise RefusalError(f"the model's chat template refuses turns of {roles}: {reason}") from error

    def _after_the_answer(self) -> tuple[str, str]:
        """The text between an answer and the user's next words, and that between an answer and the end."""
        if not self.tokenizer.chat_template:
            return "\n\n### User\n", ""
        turns = [("user", ANSWER), ("assistant", ANSWER), ("user", REMARK)]
        messages = [{"role": role, "content": text} for role, text in turns]
        both = self._template(messages, answer=False)
        between = both[both.rindex(ANSWER) + len(ANSWER) : both.rindex(REMARK)]
        alone = self._template(messages[:2], answer=False)
        return between, alone[alone.rindex(ANSWER) + len(ANSWER) :]

    def _end_token(self, closing: str) -> int | None:
        """The token that ends the assistant's turn: the template's, if that is one of its own, else EOS."""
        ids = self.tokenizer(closing, add_special_tokens=False)["input_ids"] if closing else []
        if ids and ids[0] in {*self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder}:
            return int(ids[0])
        return None if self.tokenizer.eos_token_id is None else int(self.tokenizer.eos_token_id)

    def _bos(self) -> str:
        """BOS as text, where the tokenizer would put it before plain text."""
        bos = self.tokenizer.bos_token_id
        with_special = self.tokenizer("x")["input_ids"]
        return self.tokenizer.bos_token if bos is not None and with_special[:1] == [bos] else ""


def _role(role: str) -> str:
    return role.capitalize()


def _without_oldest(messages: Messages) -> Messages:
    """Without the oldest turn that is neither the system's nor the last; all of them where there is none such."""
    for index, message in enumerate(messages[:-1]):
        if message["role"] != "system":
            rest = [*messages[:index], *messages[index + 1 :]]
            # a conversation that begins with the assistant's reply is one that templates refuse
            while len(rest) > index + 1 and rest[index]["role"] == "assistant":
                rest = [*rest[:index], *rest[index + 1 :]]
            return rest
    return messages
