"""The card: what `datasets` reads of it."""

import yaml

from pairwright.assets.releasing.card import card
from pairwright.schemas.recipe import Recipe


def front(digest: str) -> dict:
    made = Recipe.model_validate({"dataset": "d", "prompts": {"source": "a.jsonl"}, "judges": [{"kind": "length"}]})
    names = ("prompts", "responses", "pairs_train", "pairs_test", "rankings_train", "rankings_test")
    manifest = {
        "version": "v1",
        "digest": digest,
        "counts": dict.fromkeys(names, 1),
        "funnel": [],
        "judges": {},
        "answers": [],
    }
    return yaml.safe_load(card(made, manifest | {"changes": None, "parent": None}).split("---")[1])


def test_two_first_versions_are_told_apart_by_the_cache_of_datasets() -> None:
    """datasets names its cache by folder name and configurations: these must differ where rows do."""
    assert front("1" * 16)["configs"] != front("2" * 16)["configs"]
