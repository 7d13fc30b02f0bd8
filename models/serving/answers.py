"""From the answers to a verdict's calls to what its row says: texts and reasons for failure."""

import json
from collections.abc import Sequence

from pairwright.models.serving.call import Answer
from pairwright.models.serving.reply import UnusableError, answer_of


def text_of(answer: Answer) -> str | None:
    """What a judge wrote; the whole reply where it cannot be taken apart."""
    return None if answer.raw is None else text_in(answer.raw)


def text_in(reply: str) -> str:
    """The text of a reply, the reasoning that came beside it before; the whole reply where it cannot be taken apart."""
    try:
        found = answer_of(reply)
    except UnusableError:
        return reply
    return found.text if found.reasoning is None else f"<think>\n{found.reasoning}\n</think>\n\n{found.text}"


def joined(texts: Sequence[str | None]) -> str | None:
    """Several texts as one column value: the text itself, or a JSON list of them."""
    found = [text for text in texts if text is not None]
    if not found:
        return None
    return found[0] if len(found) == 1 else json.dumps(found, ensure_ascii=False)


def failure_of(answers: Sequence[Answer]) -> str | None:
    """Why a verdict that needs all these answers cannot be had."""
    return next((answer.failure for answer in answers if answer.failure is not None), None)
