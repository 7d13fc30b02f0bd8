"""What a probe of a server found out."""

from typing import Literal, NamedTuple

State = Literal["yes", "no", "unknown"]


class Finding(NamedTuple):
    """One thing that a server can or cannot do, and how it showed."""

    feature: str
    state: State
    detail: str
