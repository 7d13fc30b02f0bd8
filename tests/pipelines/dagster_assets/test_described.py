"""Every asset says what it is, with the options of the part that makes it, and the columns of its table."""

from pathlib import Path
from typing import Any

import dagster as dg
from helpers import recipe_of
from tiny_models import TINY

from pairwright.pipelines.build import definitions
from pairwright.schemas.tables import Pairs

BESIDE = (("exports", "export.py"), ("hub", "hub.py"), ("report", "page.py"), ("drift", "relabel.py"))
"""Assets that are no tables, and where their code stands."""
STRONG = str(TINY / "strong")


def specs(folder: Path) -> dict[str, dg.AssetSpec]:
    """Table → its asset's spec."""
    server = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}
    recipe = recipe_of(
        folder,
        "rows.jsonl",
        policies=[{"name": "small", "kind": "openai", **server, "samples": 2}],
        judges=[{"kind": "bleu", "variant": "sacrebleu"}, {"kind": "llm-pairwise", "name": "duel", **server}],
        filters=[{"kind": "ches", "model": STRONG}],
        release={"formats": ["trl"], "hub": "org/name"},
        schedule={"relabel": "0 2 * * *"},
    )
    assets = [one for one in definitions([recipe]).assets or [] if isinstance(one, dg.AssetsDefinition)]
    return {"/".join(spec.key.path[1:]): spec for asset in assets for spec in asset.specs}


def test_every_asset_says_what_it_is(tmp_path: Path) -> None:
    found = specs(tmp_path)
    assert len(found) > 10
    assert not [name for name, spec in found.items() if not spec.description]
    bleu = str(found["verdicts/bleu"].description)
    assert "The score of each response." in bleu and '- `variant`: `"sacrebleu"`' in bleu
    assert "`orders`" not in bleu and "`name`" not in bleu, "nothing that is as by default"
    assert "Which of two responses is better." in str(found["verdicts/duel"].description)
    assert "- `samples`: `2`" in str(found["samples/small"].description)


def test_owners_freshness_and_automation_are_off_until_the_recipe_says_otherwise(tmp_path: Path) -> None:
    some: tuple[dict[str, Any], ...] = (
        {},
        {"owners": ["team:data", "a@b.org"], "fresh_within_hours": 48, "automation": "eager"},
    )
    for asked in some:
        made = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}], operations=asked)
        for spec in definitions([made]).resolve_all_asset_specs():
            assert spec.kinds and spec.description
            if spec.key.path[-1] == "source":
                continue  # it is looked at, not made
            assert list(spec.owners) == asked.get("owners", [])
            assert (spec.freshness_policy is not None) == bool(asked), spec.key
            assert (spec.automation_condition is not None) == bool(asked), spec.key


def test_tables_say_where_their_code_stands(tmp_path: Path) -> None:
    found = specs(tmp_path)
    for name, file in (("verdicts/duel", "pairwise"), ("pairs", "pair.py"), ("prompts", "stages.py"), *BESIDE):
        [first, *_] = found[name].metadata["dagster/code_references"].code_references
        assert Path(first.file_path).exists() and file in first.file_path


def test_every_table_shows_its_columns(tmp_path: Path) -> None:
    found = specs(tmp_path)
    key = "dagster/column_schema"
    shown = {name: spec.metadata[key] for name, spec in found.items() if key in spec.metadata}
    assert {name.split("/")[0] for name in shown} == {
        "prompts", "samples", "responses", "likelihoods", "verdicts", "preferences", "pairs", "rankings",
    }  # fmt: skip
    columns = [column.name for column in shown["pairs"].columns]
    assert columns[: len(Pairs.column_names())] == Pairs.column_names()
    assert set(columns) > {"filter_ches", "kept_ches"}, "of the recipe's filters, too"
    [reason] = [column for column in shown["pairs"].columns if column.name == "reason"]
    assert (reason.type, reason.constraints.nullable) == ("String", True)
    assert "response_a" in str(shown["verdicts/duel"]), "of comparisons, not of scores"
    told = {column.name: column.description for column in shown["pairs"].columns}
    assert told["margin"] == "Difference of the two utilities." and told["filter_ches"] is None
