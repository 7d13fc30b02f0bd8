"""What a recipe asks of a server that refuses it, told by a plan, before anything else is spent."""

from pairwright.judges.llm.base import LlmJudge
from pairwright.models.serving.abilities import lacking
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.fields import features_of, spared
from pairwright.models.serving.reply_store import ReplyStore
from pairwright.schemas.kinds import Kind

HASTE = 10.0
"""Seconds that a plan waits for a server's answer."""


def refuse_in_vain(asker: Kind, replies: ReplyStore) -> None:
    """Raises JudgeError where a policy, router or judge asks for what its server refuses.

    The server is asked once, for a few tokens, and only about what the recipe asks for and not every server takes.
    """
    if not isinstance(asker, Endpoint):
        return
    weighs = isinstance(asker, LlmJudge) and asker.logprobs is True
    if not weighs and not features_of(asker.fields()).keys() - spared(asker):
        return
    hasty = asker.model_copy(update={"deadline": min(asker.deadline, HASTE)})
    if isinstance(hasty, LlmJudge):
        hasty.goes_without(replies)
    else:
        lacking(hasty, set(), replies, getattr(hasty, "path", "/chat/completions"))
