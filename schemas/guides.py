"""Guides: a part of the recipe whose results say what another one of its list is asked."""

from collections.abc import Sequence
from typing import Self

from pydantic import PrivateAttr

from pairwright.schemas.kinds import Kind


class Guided(Kind):
    """Base of the kinds that may go by another of theirs."""

    _guide: Self | None = PrivateAttr(default=None)

    @property
    def guided_by(self) -> str | None:
        """Name of the one whose results say what this one is asked, if any."""
        return None

    @property
    def guide(self) -> Self | None:
        """The one that `guided_by` names, in a recipe that was read."""
        return self._guide


def bind_guides(parts: Sequence[Kind]) -> None:
    """Give each part that goes by another the one it names. Raises ValueError for unknown names and for circles."""
    guided = [part for part in parts if isinstance(part, Guided)]
    named = {part.name: part for part in guided}
    for part in guided:
        if part.guided_by is not None and (part.guided_by not in named or part.guided_by == part.name):
            others = ", ".join(name for name in named if name != part.name) or "there is none"
            raise ValueError(
                f"{part.name!r} goes by {part.guided_by!r}, which is no other {part.family} of the recipe; "
                f"the others: {others}"
            )
    for part in guided:
        path = [part.name]
        while (guide := named[path[-1]].guided_by) is not None:
            if guide in path:
                circle = " → ".join([*path, guide])
                raise ValueError(f"these go by each other in a circle: {circle}; let one of them go by no other")
            path.append(guide)
    for part in guided:
        part._guide = named[part.guided_by] if part.guided_by else None
