"""Families: what a recipe selects parts from, each open to packages and files from elsewhere."""

from typing import NamedTuple


class Family(NamedTuple):
    """Where the classes of a family lie, and how a recipe selects one."""

    plural: str
    folder: str
    """Every module there is imported once, when a recipe is first read."""
    place: tuple[str, ...] = ()
    """Keys that lead to it in a recipe: to a list of selected ones, or to the only one."""
    key: str = "kind"
    """Says which one is selected."""
    usual: str = ""
    """Selected where a recipe says nothing; of a family of which a recipe has just one."""


FAMILIES = {
    "judge": Family("judges", "pairwright.judges", ("judges",)),
    "router": Family("routers", "pairwright.judges"),
    "jury": Family("juries", "pairwright.judges.juries", ("jury",), "method", "mean-z"),
    "strategy": Family("strategies", "pairwright.assets.pairing.strategies", ("pairs",), "strategy", "best-vs-worst"),
    "filter": Family("filters", "pairwright.assets.pairing.filters", ("filters",)),
    "policy": Family("policies", "pairwright.assets.sampling.policies", ("policies",)),
    "column": Family("columns", "pairwright.assets.releasing.pair_columns", ("release", "columns")),
    "format": Family("formats", "pairwright.assets.publishing.formats", ("release", "formats")),
}
GROUPS = {name: f"pairwright.{family.plural}" for name, family in FAMILIES.items()}
"""The group of entry points by which packages add to a family: pairwright.judges, pairwright.policies, …"""
