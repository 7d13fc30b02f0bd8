"""Recipes at random: each is taken as far as a plan goes without data, or refused in a line that says where."""

import copy
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import category

import pytest

from pairwright.assets.intake.readers import open_source
from pairwright.assets.judging.likelihood import passes
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.build import definitions
from pairwright.pipelines.recipes import SHIPPED, find_recipes
from pairwright.schemas.errors import PairwrightError, RecipeError
from pairwright.schemas.families import FAMILIES
from pairwright.schemas.kinds import kinds
from pairwright.schemas.reading import load_recipe

STRONG, WEAK = (str(SHIPPED / "tiny" / name) for name in ("strong", "weak"))
SERVER = {"model": "m", "base_url": "http://127.0.0.1:9/v1", "price": {"input": 1.0, "output": 2.0}}
ROUTER = {"domains": {"maths": "sums", "other": ""}, **SERVER}
DOMAINS = {"maths": {"instruction": "Count.", "exemplars": [{"prompt": "p", "chosen": "c", "rejected": "r"}]}}
JUDGES: list[dict[str, Any]] = [
    {"kind": "bleu", "variant": "sacrebleu", "references": "mean"},
    {"kind": "unigram-f1"},
    {"kind": "length", "unit": "words"},
    {"kind": "density-ratio", "strong": STRONG, "weak": {"id": WEAK, "dtype": "float32"}, "shots": 1}
    | {"domains": {**DOMAINS, "other": {"instruction": ""}}, "router": ROUTER},
    {"kind": "density-ratio", "name": "ruled", "strong": STRONG, "weak": WEAK, "domains": DOMAINS}
    | {"rules": [{"pattern": r"\d+", "domain": "maths"}]},
    {"kind": "implicit-reward", "policy": STRONG, "reference": WEAK, "beta": 0.2},
    {"kind": "policy-likelihood", "model": {"id": STRONG, "max_tokens": 64}, "conditional": True},
    {"kind": "policy-likelihood", "name": "served", "model": {"id": WEAK, "base_url": "http://127.0.0.1:9/v1"}},
    {"kind": "follow-up", "model": WEAK, "remarks": 2},
    {"kind": "relevance", "model": STRONG, "form": "closed"},
    {"kind": "reward-model", "model": STRONG},
    {"kind": "llm-rating", "aspects": ["honesty", {"name": "x", "rubric": "y"}], "scale": [1, 7], "votes": 2, **SERVER}
    | {"temperature": 0.5, "criteria": {"default": "c", "maths": "d"}},
    {"kind": "llm-pairwise", "pairs": "adjacent", "pairs_by": "bleu", **SERVER},
    {"kind": "label", "annotators": ["x"]},
    {"kind": "score", "of": "rm"},
    {"kind": "llm-listwise", "orders": 3, "rpm": 60, "tpm": 1000, "deadline": 3.5, **SERVER},
]
POLICIES: list[dict[str, Any]] = [
    {"kind": "openai", "samples": 2, "system": ["a", "b"], "stop": ["\n"], **SERVER},
    {"kind": "openai-completions", "joiner": " ", "logprobs": True, **SERVER},
    {"kind": "transformers", "model": WEAK, "batch_size": 8, "top_p": 0.9},
]
FILTERS: list[dict[str, Any]] = [
    {"kind": "margin", "minimum": 0.1, "by": "bleu"},
    {"kind": "near-identical", "minimum": 0.1},
    {"kind": "length-ratio", "maximum": 3.0, "keep_fraction": 0.5},
    {"kind": "ches", "model": WEAK, "maximum": 1.0},
    {"kind": "difficulty", "model": WEAK, "minimum_loss": 0.1, "beta": 0.1},
]
COLUMNS = {"prompt": "p", "references": ["r"], "responses": ["a", "b"], "policies": ["x", "y"], "split": "s"}
LABELS = {"response_a": "a", "response_b": "b", "label": "l", "labels": {"x": "a"}, "scores": {"rm": ["s", "t"]}}
LETTERS = "abcdefghij"
DEEP = "[" * 200 + "]" * 200
BOMB = "[&a0 [x, x], " + ", ".join(f"&{b}0 [*{a}0, *{a}0, *{a}0, *{a}0]" for a, b in pairwise(LETTERS)) + "]"


class Raw(NamedTuple):
    """YAML that goes into the file as it is."""

    text: str


WILD: list[Any] = [
    None, True, False, 0, -1, 1, 7, 10**30, -(10**400), 0.5, 1e308, -1e-300, float("nan"), float("inf"),
    -float("inf"), "", " ", "x", "X", "~", "..", "../..", "/", "/proc/self/mem", ".", "a/b", "a/b/c", "a--b/c",
    "a..b", "x" * 300, "é", "hf://a/b", "hf://", "hf://a/b@c", "*", "**/*", "[", "a.jsonl", "a\nb", "a\x1b[31mb",
    "\x7f", "\u202e", "\ud800", "x\udfff", "\ud83d\ude00", "a\0b", "http://", "http://[", "http://[::1",
    "http://a:99999", "http://u:p@h/", "ftp://x", "http://a b", "https://x/v1?k=1", "0 2 * * *", "@daily",
    "* * * * * *", "99 * * * *", "0 0 31 2 *", "*/0 * * * *", "1-99999999 * * * *", "UTC", "Europe/Nowhere", "../UTC",
    "/etc/passwd", "(", "(a+)+$", "[z-a]", "bleu", "margin", "all", "llm-rating", "2024-13-45", "$HOME", "{{ x }}",
    "%s", "9" * 50, [], {}, [[]], [{}], {"": ""}, {"kind": "bleu"}, {"kind": None}, {"kind": ["bleu"]},
    {"id": STRONG, "revision": "\n"}, {"id": ""}, ["x"] * 40, Raw("2024-13-45"), Raw("2024-01-01T25:61:61Z"),
    Raw("0001-01-01T00:00:00+23:59"), Raw("9" * 5000), Raw("-0x" + "f" * 6000), Raw("0b_"), Raw("1e999"),
    Raw("190:20:30"), Raw("190:99999:30.5"), Raw(".nan"), Raw("!!float ''"), Raw("!!int ''"), Raw("!!bool x"),
    Raw("!!timestamp x"), Raw("!!null x"), Raw("!!binary aGk="), Raw("!!binary é"), Raw("!!set {a, b}"),
    Raw("!!omap [a: 1]"), Raw("!!python/none x"), Raw("!x y"), Raw("!<tag:x> y"), Raw("*nowhere"), Raw("&l [*l]"),
    Raw("&m {<<: *m}"), Raw("{<<: 3}"), Raw("{<<: [{a: 1}, {b: 2}], kind: bleu}"), Raw("{a: 1, a: 2}"),
    Raw("{1: 2, 1.0: 3}"), Raw("{? [a] : b}"), Raw("{? {a: b} : c}"), Raw("{null: 1, true: 2}"), Raw(DEEP), Raw(BOMB),
    Raw('"\\UFFFFFFFF"'), Raw('"\\ud800"'), Raw("|"), Raw("'"), Raw("{"), Raw("\t"), Raw("- a"), Raw("a: b: c"),
    Raw("%"), Raw("@"), Raw("="),
]  # fmt: skip


def whole(draw: random.Random) -> dict[str, Any]:
    """A good recipe of some of all kinds."""
    first = draw.choice(JUDGES)
    judges = [{"kind": "bleu"}, *([first] if first["kind"] != "bleu" else []), *draw.sample(JUDGES[1:3], 1)]
    distinct = {one.get("name", one["kind"]): one for one in judges}
    recipe = {
        "dataset": "d",
        "prompts": {"source": "rows.jsonl", "columns": COLUMNS, "on_bad_row": "fail"},
        "responses": [{"source": "more*.parquet", "columns": LABELS}],
        "shards": draw.choice([1, 2, 3]),
        "policies": POLICIES,
        "pool": {"size": 1, "seed": 3},
        "judges": list(distinct.values()),
        "jury": {"weights": {"bleu": 2.0}},
        "pairs": {"strategy": "adjacent", "minimum_margin": 0.1, "max_per_prompt": 3, "seed": 1},
        "rankings": {"temperature": 2.0},
        "filters": draw.sample(FILTERS, 2),
        "budget": {"usd": 1.0, "calls": 10, "tokens": 1000},
        "release": {"test_fraction": 0.1, "formats": ["trl", {"kind": draw.choice(sorted(kinds("format")))}]}
        | {"columns": ["tags", {"kind": "finish-reason", "name": "ended"}]}
        | {"license": "mit", "hub": "a/b", "reference_model": WEAK},
        "schedule": {"relabel": "0 2 * * *", "timezone": "Europe/Berlin", "audit_fraction": 0.1, "max_age_days": 3},
    }
    formats = recipe["release"]["formats"]
    if formats[1]["kind"] == "trl":
        formats.pop()
    for name in draw.sample([*recipe][3:], 5):
        if name != "judges":
            del recipe[name]
    return copy.deepcopy(recipe)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each container in a value with each of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *places(value[key])]]


def mutate(recipe: dict[str, Any], draw: random.Random) -> None:
    """Change one place."""
    container, key = draw.choice(places(recipe))
    match draw.randrange(10):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            wild = draw.choice(WILD)
            container[wild if isinstance(wild, str | int | float | bool | Raw) else "kind"] = copy.deepcopy(
                draw.choice(WILD)
            )
        case 2 if isinstance(container, list):
            container.append(copy.deepcopy(draw.choice([*WILD, container[key]])))
        case 3:
            other, its = draw.choice(places(recipe))
            container[key] = copy.deepcopy(other[its])
        case 4 if isinstance(container[key], str):
            at = draw.randrange(len(container[key]) + 1)
            container[key] = (
                container[key][:at] + draw.choice(["\0", "\ud800", "\n", "/", " ", "é"]) + container[key][at:]
            )
        case _:
            container[key] = copy.deepcopy(draw.choice(WILD))


def written(value: Any) -> str:
    """The value as YAML."""
    match value:
        case Raw():
            return value.text
        case dict():
            return "{" + ", ".join(f"{written(key)}: {written(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case float():
            return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}.get(str(value), repr(value))
        case _:
            return json.dumps(value)


def torn(text: str, draw: random.Random) -> bytes:
    """The file with a byte cut out, put in, or everything behind it gone."""
    content = bytearray(text.encode())
    at = draw.randrange(len(content))
    match draw.randrange(3):
        case 0:
            del content[at]
        case 1:
            content.insert(at, draw.randrange(256))
        case _:
            del content[at:]
    return bytes(content)


def at_random(number: int) -> bytes:
    draw = random.Random(number)
    recipe = whole(draw)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        if places(recipe):
            mutate(recipe, draw)
    text = "".join(f"{written(key)}: {written(value)}\n" for key, value in recipe.items())
    return torn(text, draw) if text and draw.random() < 0.1 else text.encode()


def outcome(path: Path) -> str | None:
    """What a recipe is refused for, by the recipe's reading and by all that a plan does before it reads data."""
    try:
        recipe = load_recipe(path)
    except RecipeError as error:
        assert str(error).startswith(str(path)), error
        return str(error).removeprefix(f"{path}")
    try:
        passes(recipe)
        definitions([recipe])
        budget_of(recipe, Workspace.of(recipe, path.parent / "data"))
        for source in recipe.sources:
            open_source(source, path.parent)
    except PairwrightError as error:
        return str(error)
    return None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with sources and no network, in which the working directory lies."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "p", "responses": ["a", "b"]}\n')
    (tmp_path / "more.parquet").write_bytes(b"")
    return tmp_path


def tried(folder: Path, numbers: range) -> int:
    """How many of these recipes are good; all others must be refused well."""
    good = 0
    for number in numbers:
        path = folder / "recipe.yaml"
        path.write_bytes(at_random(number))
        try:
            why = outcome(path)
        except Exception as error:
            error.add_note(f"recipe {number}: {at_random(number)[:3000]!r}")
            raise
        good += why is None
        for line in (why or "").split("\n"):
            assert len(line) < 1_500, f"recipe {number}: {line[:3000]}"
            assert not any(category(char) in {"Cc", "Cs"} for char in line), f"recipe {number}: {line!r}"
    return good


def test_each_kind_is_in_a_good_recipe(folder: Path) -> None:
    for number in range(60):
        path = folder / "recipe.yaml"
        recipe = whole(random.Random(number))
        path.write_text("".join(f"{written(key)}: {written(value)}\n" for key, value in recipe.items()))
        load_recipe(path)
    told = {one["kind"] for part in (JUDGES, POLICIES, FILTERS) for one in part}
    apart = ("column", "format", "router", "jury", "strategy")
    assert told >= {kind for family in FAMILIES if family not in apart for kind in kinds(family)} - {
        kind for family in FAMILIES for kind in kinds(family) if kind.startswith("test-")
    }


def test_a_recipe_at_random_is_good_or_refused_in_a_line_that_says_where(folder: Path) -> None:
    assert tried(folder, range(200)) > 10


@pytest.mark.slow
def test_many_recipes_at_random_are_good_or_refused(folder: Path) -> None:
    assert tried(folder, range(200, 12_200)) > 500


def test_a_folder_of_recipes_at_random_leaves_out_the_broken_ones(folder: Path) -> None:
    for number in range(40):
        (folder / f"{number:02}.yaml").write_bytes(at_random(number))
    names = [one.path.name for one in find_recipes(folder / "00.yaml")]
    assert names in ([], ["00.yaml"])
