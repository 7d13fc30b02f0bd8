"""Where a text's answer begins, for models that write their reasoning into the text before it."""

import functools
import re
from typing import NamedTuple

from pairwright.models.serving.reply import CUT_THINKING, USUAL, Choice, UnusableError
from pairwright.schemas.served import Thinking


class _Marks(NamedTuple):
    """What finds a block of reasoning."""

    opened: re.Pattern[str]
    closed: re.Pattern[str]
    closed_line: re.Pattern[str]
    tags: re.Pattern[str]


@functools.lru_cache(maxsize=64)
def _marks(marks: Thinking) -> _Marks:
    start, end = re.escape(marks.open), re.escape(marks.close)
    return _Marks(
        re.compile(rf"\s*{start}"),
        re.compile(rf"{end}\s*"),
        re.compile(rf"^[ \t]*{end}\s*", re.MULTILINE),
        re.compile(rf"^\s*{start}|{end}\s*$"),
    )


def answer_start(text: str, marks: Thinking = USUAL) -> int:
    """The place of the first character behind a leading `<think>…</think>`; 0 where a text opens with no reasoning.

    Many chat templates end with the opening tag, so that a text begins inside the block: where no `<think>` came
    before, a `</think>` at the beginning of a line ends it, too. Raises UnusableError where the block has no end, or
    nothing behind it.
    """
    if marks.open and marks.open not in text and marks.close not in text:
        return 0
    found = _marks(marks)
    if found.opened.match(text):
        end = found.closed.search(text)
        if end is None:
            raise UnusableError(f"{CUT_THINKING}: it has no end ({marks.open or 'no opening'} without {marks.close})")
    else:
        end = found.closed_line.search(text)
        if end is None or marks.open in text[: end.start()]:
            return 0
    if end.end() == len(text):
        raise UnusableError("behind the reasoning, the answer is empty")
    return end.end()


def parted(text: str, marks: Thinking = USUAL) -> tuple[str | None, str | None]:
    """The reasoning that a text opens with, without its marks, and the answer behind it.

    No reasoning where a text opens with none; neither where nothing follows.
    """
    try:
        start = answer_start(text, marks)
    except UnusableError:
        return None, None
    return (_marks(marks).tags.sub("", text[:start]).strip() or None) if start else None, text[start:]


def told_apart(choice: Choice, marks: Thinking | None) -> Choice:
    """The answer without its reasoning, where the recipe says how that is marked and the server has left it in.

    Raises UnusableError where the reasoning has no end, or nothing behind it.
    """
    if marks is None or choice.finish_reason == "refusal":
        return choice
    start = answer_start(choice.text, marks)
    if not start:
        return choice
    within = _marks(marks).tags.sub("", choice.text[:start]).strip()
    both = "\n\n".join(one for one in (choice.reasoning, within) if one)
    return choice._replace(text=choice.text[start:], reasoning=both or None)
