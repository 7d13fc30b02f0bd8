"""Fingerprints of judges and filters: everything that can change an answer, and nothing else."""

from typing import Annotated, Any

import pytest
from helpers import Counting
from pydantic import Field, ValidationError

from pairwright.assets.pairing.filters.length_ratio import LengthRatio
from pairwright.assets.pairing.filters.margin import Margin
from pairwright.assets.pairing.filters.near_identical import NearIdentical
from pairwright.judges.bleu.bleu import Bleu, UnigramF1
from pairwright.judges.length import Length
from pairwright.schemas.kinds import Kind, Runtime, kinds


class Prompted(Kind):
    """A kind as a language-model judge would be, outside the families that recipes know."""

    family = "judge"
    kind: str = "prompted"
    model: str = "m"
    system: str = ""
    base_url: Annotated[str, Field(default="http://localhost"), Runtime]


def test_golden_fingerprints() -> None:
    """Written down from this code: a change here makes every user's verdicts be computed again."""
    assert Bleu().fingerprint == "138b1ef57c286e22"
    assert Bleu(variant="sacrebleu").fingerprint == "7432c2ae53613c40"
    assert UnigramF1().fingerprint == "4f3710ac65e531fb"
    assert Length().fingerprint == "56f9efb65397f678"


def test_name_and_runtime_options_do_not_matter() -> None:
    assert Bleu(name="other").fingerprint == Bleu().fingerprint
    assert Prompted(base_url="http://elsewhere").fingerprint == Prompted().fingerprint
    assert Counting(log="x", batch=9).fingerprint == Counting().fingerprint


def test_the_fingerprint_has_the_system_prompt_in_it() -> None:
    """Elsewhere two different judge prompts share their answers."""
    assert Prompted(system="Be strict.").fingerprint != Prompted().fingerprint


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Bleu, {"variant": "sacrebleu", "references": "mean"}),
        (Length, {"unit": "words"}),
        (Counting, {"salt": "x", "values": 3, "fails": "y"}),
        (Prompted, {"model": "n", "system": "s", "kind": "other"}),
        (Margin, {"minimum": 1.0, "by": "bleu", "keep_fraction": 0.5, "unknown": "drop"}),
        (NearIdentical, {"minimum": 0.2, "keep_fraction": 0.5, "unknown": "drop"}),
        (LengthRatio, {"minimum": 0.1, "maximum": 3.0, "keep_fraction": 0.5, "unknown": "drop"}),
    ],
)
def test_each_other_option_matters(kind: type[Kind], changes: dict[str, Any]) -> None:
    untouched = {"name", *(name for name, field in kind.model_fields.items() if Runtime in field.metadata)}
    assert set(changes) | {"kind"} | untouched == set(kind.model_fields) | {"kind"}, "every option is tried"
    found = [kind(), *(kind.model_validate({name: value}) for name, value in changes.items())]
    assert len({one.fingerprint for one in found}) == len(found)


def test_a_raised_version_is_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Length().fingerprint
    monkeypatch.setattr(Length, "version", 2)
    assert Length().fingerprint != before


def test_a_kind_is_named_after_itself_unless_it_is_given_a_name() -> None:
    assert (Bleu().name, Bleu(name="gold").name) == ("bleu", "gold")
    for name in ("", "A", "a/b", "..", "a b", "-a", "ü", "a" * 64):
        with pytest.raises(ValidationError):
            Bleu(name=name)


def test_every_file_of_a_family_is_known() -> None:
    assert {"bleu", "unigram-f1", "length"} <= set(kinds("judge"))
    assert set(kinds("filter")) >= {"margin", "near-identical", "length-ratio"}


def test_kinds_are_frozen_and_strict() -> None:
    with pytest.raises(ValidationError):
        Bleu().variant = "nmt"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Bleu.model_validate({"smooth": True})


def test_a_new_option_at_its_default_leaves_old_fingerprints_valid():
    class Plain(Kind):
        family = "judge"

    class Grown(Kind):
        family = "judge"
        depth: int = 1

    assert Grown(name="x").fingerprint == Plain(name="x").fingerprint != Grown(name="x", depth=2).fingerprint
