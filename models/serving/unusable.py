"""What a reply that holds no answer raises."""

LONGEST_REASON = 500
"""Characters of a reason that are kept; the reply itself is kept whole."""


class UnusableError(Exception):
    """A reply that holds no answer; the message says why."""

    def __init__(self, why: str) -> None:
        super().__init__(storable(why)[:LONGEST_REASON])


def storable(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can spell and no table can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
