"""Dagster's lineage is what the stages declare, less what follows from the rest of it."""

from pathlib import Path
from typing import Any

from helpers import recipe_of, wide, write_jsonl
from tiny_models import TINY

from pairwright.pipelines.build import definitions

URL = "http://127.0.0.1:1/v1"
ROUTER = {"model": "m", "base_url": URL, "domains": {"chat": "talk", "code": "programs"}}


def lineage(folder: Path, **parts: Any) -> dict[str, set[str]]:
    """Asset → those that it reads, without the data set's name."""
    write_jsonl(folder / "rows.jsonl", wide(2))
    graph = definitions([recipe_of(folder, "rows.jsonl", **parts)]).resolve_asset_graph()
    return {
        "/".join(key.path[1:]): {"/".join(one.path[1:]) for one in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }


def test_the_smallest_recipe(tmp_path: Path) -> None:
    twice = [{"kind": "length"}, {"kind": "length", "name": "size"}]
    assert lineage(tmp_path, judges=twice) == {
        "source": set(),
        "prompts": {"source"},
        "responses": {"prompts"},
        "verdicts/length": {"responses"},
        "verdicts/size": {"responses"},
        "preferences": {"verdicts/length", "verdicts/size"},
        "pairs": {"preferences"},
        "rankings": {"preferences"},
        "release": {"pairs", "rankings"},
        "report": {"release"},
    }


def test_policies_routers_guides_passes_and_nights(tmp_path: Path) -> None:
    tiny = str(TINY / "strong")
    ratio = {
        "kind": "density-ratio",
        "strong": tiny,
        "weak": str(TINY / "weak"),
        "router": ROUTER,
        "domains": {"chat": {"instruction": "Chat."}, "code": {"instruction": "Code."}},
    }
    duel = {"kind": "llm-pairwise", "model": "m", "base_url": URL, "pairs": "adjacent", "pairs_by": "length"}
    found = lineage(
        tmp_path,
        policies=[{"name": "small", "kind": "openai", "model": "m", "base_url": URL}],
        judges=[{"kind": "length"}, ratio, duel],
        filters=[{"kind": "ches", "model": tiny, "keep_fraction": 0.5}],
        release={"reference_model": tiny, "formats": ["trl"]},
        schedule={"relabel": "0 2 * * *"},
    )
    passes = {name for name in found if name.startswith("likelihoods/")}
    (domains,) = (name for name in found if name.startswith("domains/"))
    assert found["samples/small"] == {"prompts"} == found[domains]
    assert found["responses"] == {"samples/small"}
    by_domain = {name for name in passes if domains in found[name]}
    assert len(by_domain) == 2 and all(found[name] == {"responses", domains} for name in by_domain)
    assert found["verdicts/density-ratio"] == by_domain
    assert found["verdicts/llm-pairwise"] == {"verdicts/length"}
    assert found["drift"] == {f"verdicts/{name}" for name in ("length", "density-ratio", "llm-pairwise")}
    assert found["preferences"] >= {"drift", "verdicts/llm-pairwise", "verdicts/density-ratio"}
    assert found["pairs"] == {"preferences", *(passes - by_domain)}
    assert found["release"] == {"pairs", "rankings"}
    assert found["exports"] == found["report"] == {"release"}
