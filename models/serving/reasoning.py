"""Where a text's answer begins, for models that write their reasoning into the text before it."""

import re

from pairwright.models.serving.reply import UnusableError

_OPENED = re.compile(r"\s*<think>")
_CLOSED = re.compile(r"</think>\s*")
_TAGS = re.compile(r"^\s*<think>|</think>\s*$")
_CLOSED_LINE = re.compile(r"^[ \t]*</think>\s*", re.MULTILINE)


def answer_start(text: str) -> int:
    """The place of the first character behind a leading `<think>…</think>`; 0 where a text opens with no reasoning.

    Many chat templates end with the opening tag, so that a text begins inside the block: where no `<think>` came
    before, a `</think>` at the beginning of a line ends it, too. Raises UnusableError where the block has no end, or
    nothing behind it.
    """
    if "think>" not in text:
        return 0
    if _OPENED.match(text):
        end = _CLOSED.search(text)
        if end is None:
            raise UnusableError("truncated: the reasoning has no end (<think> without </think>)")
    else:
        end = _CLOSED_LINE.search(text)
        if end is None or "<think>" in text[: end.start()]:
            return 0
    if end.end() == len(text):
        raise UnusableError("behind the reasoning, the answer is empty")
    return end.end()


def parted(text: str) -> tuple[str | None, str | None]:
    """The reasoning that a text opens with, without its tags, and the answer behind it.

    No reasoning where a text opens with none; neither where nothing follows.
    """
    try:
        start = answer_start(text)
    except UnusableError:
        return None, None
    return (_TAGS.sub("", text[:start]).strip() or None) if start else None, text[start:]
