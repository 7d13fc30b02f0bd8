"""From the answers to a verdict's calls to what its row says: texts, reasons for failure, probabilities."""

import json
import math
import re
from collections.abc import Sequence

from pairwright.judges.llm.call import Answer
from pairwright.judges.llm.replies import Choice, Token, UnusableError, answer_of


def text_of(answer: Answer) -> str | None:
    """What a judge wrote; the whole reply where it cannot be taken apart."""
    if answer.raw is None:
        return None
    try:
        return answer_of(answer.raw).text
    except UnusableError:
        return answer.raw


def joined(texts: Sequence[str | None]) -> str | None:
    """Several texts as one column value: the text itself, or a JSON list of them."""
    found = [text for text in texts if text is not None]
    if not found:
        return None
    return found[0] if len(found) == 1 else json.dumps(found, ensure_ascii=False)


def failure_of(answers: Sequence[Answer]) -> str | None:
    """Why a verdict that needs all these answers cannot be had."""
    return next((answer.failure for answer in answers if answer.failure is not None), None)


def probabilities(choice: Choice, key: str, values: Sequence[str]) -> dict[str, float] | None:
    """Probability of each value (a text such as `A` or `4`) as what follows `key` in an answer.

    From the alternatives of the token where the value begins, renormalised over the values. None where the server told
    none, where most of the probability is on something else, or where a value begins like another one (1 and 10):
    then the written value alone stands.
    """
    if any(one != other and other.startswith(one) for one in values for other in values):
        return None
    places = list(re.finditer(rf'"{re.escape(key)}"\s*:\s*"?', choice.text))
    if not places:
        return None
    start, place = 0, places[-1].end()
    for token in choice.tokens:
        if start + len(token.text) > place:
            return _shares(token, token.text[: max(0, place - start)], values)
        start += len(token.text)
    return None


def _shares(token: Token, lead: str, values: Sequence[str]) -> dict[str, float] | None:
    found = dict.fromkeys(values, 0.0)
    for text, logprob in {token.text: token.logprob, **token.top}.items():
        value = text[len(lead) :].strip(' "*}') if text.startswith(lead) else ""
        for one in values:
            if value.casefold() == one.casefold():
                found[one] += math.exp(logprob)
    total = sum(found.values())
    return {one: share / total for one, share in found.items()} if total > 0.5 else None
