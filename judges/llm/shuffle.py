"""Orders drawn by seed: they depend on it and on content ids only."""

from collections.abc import Sequence

from pairwright.schemas.ids import digest


def shuffled(ids: Sequence[str], seed: int, *purpose: str) -> list[str]:
    """The ids in an order of their own for that seed and purpose."""
    return sorted(ids, key=lambda one: digest("shuffle", str(seed), *purpose, one, size=8))
