"""Reading recipes: every error names the key, the value, what is allowed and the nearest match."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pairwright.pipelines.recipes import DEMO
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.reading import load_recipe, parse_recipe
from pairwright.schemas.recipe import Recipe, recipe_json_schema

GOOD = "dataset: d\nprompts: {source: a.jsonl}\njudges: [{kind: bleu}]\n"
BOMB = "".join(f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}]\n" for old, new in pairwise("abcdefghijk"))


def error(folder: Path, text: str | bytes) -> str:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError) as raised:
        load_recipe(path)
    assert str(path) in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "jugdes: []\n", "jugdes: unknown key (did you mean 'judges'?); allowed: budget, dataset, "),
        (GOOD + "pairs: {stategy: all}\n", "pairs.stategy: unknown key (did you mean 'strategy'?); allowed: "),
        (GOOD.replace("bleu}", "bleu, variation: x}"), "judges[0].variation: unknown key (did you mean 'variant'?)"),
        (GOOD.replace("source: a", "sauce: a"), "prompts.sauce: unknown key (did you mean 'source'?)"),
        (GOOD.replace("source: a", "sauce: a"), "prompts.source: missing, and it has no default"),
        (GOOD.replace("bleu", "blue"), "judges[0].kind: 'blue' is not known (did you mean 'bleu'?); allowed: "),
        (GOOD.replace("kind: bleu", "variant: nmt"), "judges[0]: `kind` is missing; allowed: bleu, "),
        (
            GOOD.replace("bleu}", "bleu, variant: ntm}"),
            "'ntm' is not allowed (did you mean 'nmt'?); allowed: nmt, sacrebleu",
        ),
        (
            GOOD + "pairs: {strategy: best-vs-wurst}\n",
            "pairs.strategy: 'best-vs-wurst' is not known (did you mean 'best-vs-worst'?); allowed: adjacent, all, ",
        ),
        (
            GOOD + "jury: {method: mean_zee}\n",
            "jury.method: 'mean_zee' is not known (did you mean 'mean-z'?); allowed: ",
        ),
        (GOOD + "jury: {method: [mean-z]}\n", "jury.method: "),
        (
            GOOD + "jury: {wieghts: {}}\n",
            "jury.wieghts: unknown key (did you mean 'weights'?); allowed: method, weights",
        ),
        (GOOD + "jury: mean-z\n", "jury: input should be a valid dictionary"),
        (
            GOOD + "pairs: {strategy: all, max_per_promt: 1}\n",
            "pairs.max_per_promt: unknown key (did you mean 'max_per_p",
        ),
        (GOOD + "pairs: {strategy: adjacent, seed: -1}\n", "pairs.seed: input should be greater than or equal to 0"),
        (GOOD + "pairs: {strategy: null}\n", "pairs.strategy: "),
        (GOOD + "shards: 0\n", "shards: input should be greater than or equal to 1; found 0"),
        (GOOD + "shards: many\n", "shards: "),
        (GOOD.replace("dataset: d", "dataset: ../x"), "dataset: '../x' is not allowed; use a-z, 0-9"),
        (GOOD + "jury: {weights: {blue: 1}}\n", "jury.weights names 'blue'; the judges are bleu"),
        (GOOD + "jury: {weights: {bleu: 0}}\n", "jury.weights leaves no judge with a weight above 0"),
        (GOOD + "jury: {weights: {bleu: -1}}\n", "jury.weights.bleu: "),
        (GOOD + "jury: {weights: {bleu: .inf}}\n", "jury.weights.bleu: "),
        (GOOD.replace("[{kind: bleu}]", "[]"), "judges: "),
        (GOOD.replace("[{kind: bleu}]", "[{kind: bleu}, {kind: bleu}]"), "name 'bleu' is used twice"),
        (GOOD + "release: {test_fraction: 1}\n", "release.test_fraction: "),
        (GOOD + "filters: [{kind: margin, keep_fraction: 0}]\n", "filters[0].keep_fraction: "),
        (GOOD + "dataset: e\n", "line 4: key 'dataset' is given twice"),
        (GOOD.replace("bleu}", "bleu, kind: length}"), "line 3: key 'kind' is given twice"),
        (GOOD + "1: x\n", "1"),
        ("", "holds NoneType, expected a mapping"),
        ("- a\n", "holds list, expected a mapping"),
        ("a: [\n", "is not valid YAML"),
        ("dataset: {{ name }}\n", "line 1: dataset: a key is no text; quote it"),
        ("? [a]\n: b\n", "line 1: a key is no text; quote it"),
        ("a: !!python/object/apply:os.system [id]\n", "line 1: a: tag 'tag:yaml.org,2002:python/object"),
        ("a: !!set {x}\n", "line 1: a: tag 'tag:yaml.org,2002:set' is not allowed; allowed: str, int, "),
        ("a: &a [*a]\n", "line 1: a[0]: an alias (*) stands within what it names"),
        ("a: &a {b: {<<: *a}}\n", "line 1: a.b: an alias (*) stands within what it names"),
        ("a: &a [x, x]\n" + BOMB, "unfolds to more than 100,000 values; use fewer aliases"),
        ("a: {<<: 3}\n", "line 1: a.<<: expected a mapping, or a list of mappings, to merge"),
        (GOOD + "shards: " + "9" * 5000 + "\n", "line 4: shards: '9999"),
        (GOOD + "shards: 0b_\n", "line 4: shards: '0b_' is no int that can be read; quote it"),
        (GOOD + 'shards: !!float ""\n', "line 4: shards: '' is no float that can be read"),
        (GOOD + "shards: !!bool perhaps\n", "line 4: shards: 'perhaps' is no bool that can be read"),
        (GOOD.replace("a.jsonl", r'"\ud800"'), "line 2: prompts.source: '\\ud800' holds half of a pair of surrogates"),
        (GOOD.replace("a.jsonl", r'"a\0b"'), r"line 2: prompts.source: 'a\x00b' holds the character NUL"),
        (GOOD.replace("a.jsonl", r'"\UFFFFFFFF"'), "is not valid YAML"),
        (b"#" * 2_000_000, "is larger than 1,048,576 bytes"),
        ("[" * 5000, "is not valid YAML"),
        (b"dataset: \xff\n", "cannot be read as UTF-8"),
        (b"dataset: \x00\n", "is not valid YAML"),
    ],
)
def test_an_error_says_what_is_wrong_and_what_is_allowed(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in error(tmp_path, text)


@pytest.mark.parametrize(
    "name", ["rank", "utility", "prompt_id", "response_id", "unranked", "jury", "random", "longer-wins"]
)
def test_a_judge_may_not_take_the_name_of_a_column_or_a_baseline(tmp_path: Path, name: str) -> None:
    assert f"name '{name}' is taken" in error(tmp_path, GOOD.replace("bleu}", f"bleu, name: {name}}}"))


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    text = error(tmp_path, GOOD + "shards: 0\npears: {}\n")
    assert "shards" in text
    assert "pears" in text


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("..", "model '..': "),
        ("''", "model '': no folder of that name, and no name that a model on the Hub can have"),
        ("a/b/c", "model 'a/b/c': no folder of that name, and no name"),
        ("x" * 300, "no folder of that name, and no name that a model on the Hub can have"),
    ],
)
def test_what_is_no_model_is_told(tmp_path: Path, model: str, message: str) -> None:
    text = GOOD.replace("kind: bleu", f"kind: reward-model, model: {model}")
    (tmp_path / "recipes").mkdir()
    assert message in error(tmp_path / "recipes", text)


def test_a_model_whose_commit_is_not_known_is_told(tmp_path: Path) -> None:
    content = yaml.safe_load(GOOD) | {"judges": [{"kind": "reward-model", "model": "no/such-model"}]}
    with pytest.raises(RecipeError, match="model 'no/such-model': revision 'main' could not be turned into a commit"):
        _ = parse_recipe(content, tmp_path / "r.yaml").judges[0].fingerprint


def test_a_missing_recipe_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no recipe at .*no\.yaml; `pairwright init DIR`"):
        load_recipe(tmp_path / "no.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path)


def test_byte_order_mark_crlf_and_anchors_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    text = "x: &j {kind: bleu}\n"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_recipe(path).dataset == "d"
    path.write_text(GOOD.replace("{source: a.jsonl}", "&s {source: a.jsonl}") + "responses: [*s]\n")
    assert len(load_recipe(path).sources) == 2
    assert text


def test_merge_keys_add_what_a_mapping_does_not_say_itself(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "dataset: d\n"
        "prompts: {source: a.jsonl}\n"
        "judges:\n"
        "- &first {name: one, kind: llm-rating, model: m, seed: 1, price: &price {input: 1}}\n"
        "- &second {<<: *first, name: two, seed: 2, price: {<<: *price, output: 3}}\n"
        "- {<<: [*second, *first], name: three}\n"
        "- {name: four, <<: *second}\n"
    )
    judges: Any = load_recipe(path).judges
    assert [(one.name, one.seed) for one in judges] == [("one", 1), ("two", 2), ("three", 2), ("four", 2)]
    assert [(one.price.input, one.price.output) for one in judges] == [(1, 0), (1, 3), (1, 3), (1, 3)]


def test_a_key_given_twice_is_told_in_what_is_merged_as_well(tmp_path: Path) -> None:
    judges = "[&a {name: x, kind: bleu, kind: length}, {<<: *a, name: y}]"
    assert "line 3: key 'kind' is given twice" in error(tmp_path, GOOD.replace("[{kind: bleu}]", judges))
    twice = "[&a {name: x, kind: bleu}, {<<: *a, <<: *a}]"
    assert "key '<<' is given twice; write `<<: [*a, *b]`" in error(tmp_path, GOOD.replace("[{kind: bleu}]", twice))


def test_dates_are_texts_and_escaped_pairs_of_surrogates_are_one_character(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD.replace("dataset: d", "dataset: 2024-13-45").replace("a.jsonl", r'"\ud83d\ude00.jsonl"'))
    assert (load_recipe(path).dataset, load_recipe(path).prompts.source) == ("2024-13-45", "😀.jsonl")


def test_the_json_schema_accepts_good_recipes_and_refuses_bad_ones() -> None:
    schema = recipe_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(GOOD))
    validator.validate(yaml.safe_load(DEMO.read_text()))
    for good in (
        "pairs: {max_per_prompt: 3, seed: 1}",
        "pairs: {strategy: all, seed: 1}",
        "jury: {weights: {bleu: 2}}",
    ):
        validator.validate(yaml.safe_load(GOOD + good))
    for bad in (
        GOOD + "pairs: {strategy: best-vs-wurst}\n",
        GOOD + "jury: {method: mean-zee}\n",
        GOOD + "jugdes: []\n",
        GOOD.replace("bleu", "blue"),
        GOOD + "shards: 0\n",
        GOOD.replace("dataset: d", "a: b"),
    ):
        assert not validator.is_valid(yaml.safe_load(bad))
    kinds = str(schema["$defs"].keys())
    assert all(name in kinds for name in ("Bleu", "Length", "Margin", "NearIdentical", "MeanZ", "BestVsRandomNonMax"))


def test_a_jury_and_pairs_say_what_is_told_and_are_the_usual_ones_otherwise() -> None:
    """Also in what a manifest tells of the recipe: nothing that it leaves out."""

    def read(**parts: Any) -> Recipe:
        return parse_recipe(yaml.safe_load(GOOD) | parts, Path("recipe.yaml"))

    plain = read()
    assert plain.pairs.stamp() == {
        "strategy": "best-vs-worst",
        "minimum_margin": 0.0,
        "max_per_prompt": None,
        "seed": 0,
    }
    assert read(jury={}).jury == plain.jury == read(jury={"method": "mean-z"}).jury
    told = read(jury={"weights": {"bleu": 2.0}}, pairs={"max_per_prompt": 3, "seed": 1})
    shown = told.model_dump(mode="json", exclude_unset=True)
    assert (shown["jury"], shown["pairs"]) == ({"weights": {"bleu": 2.0}}, {"max_per_prompt": 3, "seed": 1})
    assert "jury" not in plain.model_dump(exclude_unset=True)
    assert read(pairs={"strategy": "best-vs-worst", "seed": 1}).pairs == read(pairs={"seed": 1}).pairs


VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["bleu", "margin", "all"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "name", "source", "columns", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ["dataset", "prompts", "responses", "shards", "judges", "jury", "pairs", "rankings", "filters", "release", "zzz"]


@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.booleans())
def test_any_mapping_is_a_recipe_or_a_recipe_error(content: dict[str, Any], on_top: bool) -> None:
    if on_top:
        content = yaml.safe_load(GOOD) | content
    try:
        parse_recipe(content, Path("recipe.yaml"))
    except RecipeError as problem:
        assert str(problem).startswith("recipe.yaml: ")
