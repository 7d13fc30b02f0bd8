"""How likely a model held each verdict to be, from the alternatives that it weighed token by token."""

import math
import re
from collections.abc import Sequence

from pairwright.models.serving.reasoning import answer_start
from pairwright.models.serving.reply import Choice, Token, UnusableError

SEEN = 0.5
"""Least share of the probability that must be seen on the labels; below it, the written verdict alone stands.

Seeing more is no evidence that the model meant to answer in the form: under a response format, servers like vLLM tell
log-probs after the grammar's mask, and all of the probability is on the labels whatever the model made of the question.
"""
ENDS = '"}],*\r\n\t '
"""Characters that end a label in JSON."""


def probabilities(choice: Choice, key: str, values: Sequence[str]) -> dict[str, float] | None:
    """Probability of each value (a label such as `A`, `4` or `10`) as what follows `key` in an answer.

    A label may take several tokens. A server tells alternatives only along the text that was written, so a label's
    probability is the product along its path as far as that is seen: an alternative that leaves the written path is
    counted where it is a whole label, or can only become one, and is left out where it may still become several (`1`
    of `1` and `10`). Renormalised over what is seen.

    None where the server told nothing, where the written value is no label, or where less than SEEN is seen.
    """
    written = "".join(token.text for token in choice.tokens)
    text = choice.text if len(choice.text) == len(written) else written  # servers may cut reasoning out of the text
    try:
        places = list(re.compile(rf'"{re.escape(key)}"\s*:\s*"?').finditer(text, answer_start(text)))
    except UnusableError:
        return None
    if not places:
        return None
    start, place = 0, places[-1].end()
    for number, token in enumerate(choice.tokens):
        if start + len(token.text) > place:
            return _shares(choice.tokens[number:], max(0, place - start), values)
        start += len(token.text)
    return None


def _shares(tokens: Sequence[Token], skip: int, values: Sequence[str]) -> dict[str, float] | None:
    """Shares of the labels; the value begins `skip` characters into the first token."""
    labels = {one.casefold(): one for one in values}
    found = dict.fromkeys(values, 0.0)
    begun, reached, lead = "", 1.0, tokens[0].text[:skip]
    for token in tokens:
        for text, logprob in {**token.top, token.text: token.logprob}.items():
            if not text.startswith(lead) or text == token.text:
                continue
            if label := _label(begun + text[len(lead) :], labels, may_grow=False):
                found[label] += reached * math.exp(logprob)
        begun, reached, lead = begun + token.text[len(lead) :], reached * math.exp(token.logprob), ""
        label = _label(begun, labels, may_grow=True)
        if label:
            found[label] += reached
            break
        if label is None:
            return None
    total = sum(found.values())
    return {one: share / total for one, share in found.items()} if total >= SEEN and label else None


def _label(text: str, labels: dict[str, str], may_grow: bool) -> str | None:
    """The label that a text is or can only become; the empty text where it may yet become one, None where it cannot.

    A text that may grow is taken for a label only once nothing else can follow.
    """
    plain = text.casefold().lstrip(ENDS)
    whole = plain.rstrip(ENDS)
    if whole != plain:
        return labels.get(whole)
    if not plain:
        return "" if not text.strip() else None
    fitting = [label for label in labels if label.startswith(plain)]
    if len(fitting) == 1 and (fitting[0] == plain or not may_grow):
        return labels[fitting[0]]
    return "" if fitting else None
