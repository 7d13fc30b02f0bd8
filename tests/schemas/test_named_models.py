"""Models named once: the same as written out, wherever a model can stand; and what is wrong is told where it stands."""

from pathlib import Path
from typing import Any

import pytest
from helpers import write_jsonl
from tiny_models import TINY

from pairwright.assets.sampling.pool import policies_of
from pairwright.judges.density_ratio import DensityRatio
from pairwright.judges.llm.base import LlmJudge
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.reading import parse_recipe
from pairwright.schemas.recipe import Recipe, recipe_json_schema

GPT = {"model": "gpt-x", "base_url": "http://h/v1", "reasoning_effort": "low", "extra": {"top_k": 5}, "max_tokens": 99}
STRONG = {"model": str(TINY / "strong"), "dtype": "bfloat16", "max_tokens": 7, "price": {"input": 1}}


def read(folder: Path, models: dict[str, Any], policy: Any, judge: Any, local: Any, **parts: Any) -> Recipe:
    content = {
        "dataset": "named",
        "models": models,
        "prompts": {"source": "rows.jsonl"},
        "policies": [{"kind": "openai", "name": "p", **policy}],
        "judges": [
            {"kind": "llm-pairwise", "name": "j", **judge},
            {"kind": "density-ratio", "strong": local, "weak": str(TINY / "weak"), "router": judge | ROUTED, **DOMAINS},
        ],
        "filters": [{"kind": "ches", "model": local, "keep_fraction": 0.5}],
        "release": {"reference_model": local},
        **parts,
    }
    return parse_recipe(content, folder / "recipe.yaml")


ROUTED = {"domains": {"chat": "talk", "code": "programs"}}
DOMAINS = {"domains": {"chat": {"instruction": "Chat."}, "code": {"instruction": "Code."}}}


def test_a_name_is_the_model_with_its_options_written_out(tmp_path: Path) -> None:
    named = {"model": "gpt", "temperature": 0.4, "max_tokens": 50}
    short = read(tmp_path, {"gpt": GPT, "big": STRONG}, named, {"model": "gpt"}, "big")
    out = {**GPT, "temperature": 0.4, "max_tokens": 50}
    local = {"id": STRONG["model"], "dtype": "bfloat16"}
    long = read(tmp_path, {}, out, GPT, local)
    for one, other in zip(_parts(short), _parts(long), strict=True):
        assert one == other
        assert getattr(one, "fingerprint", 0) == getattr(other, "fingerprint", 0)
    (policy,), judge = policies_of(short), short.judges[0]
    assert isinstance(judge, LlmJudge)
    assert (policy.model, policy.max_tokens, policy.temperature, policy.base_url) == ("gpt-x", 50, 0.4, "http://h/v1")
    assert (judge.model, judge.max_tokens, judge.extra, judge.reasoning_effort) == ("gpt-x", 99, {"top_k": 5}, "low")
    again = parse_recipe(short.model_dump(mode="json", exclude_unset=True), tmp_path / "again.yaml")
    assert [one.fingerprint for one in again.judges] == [one.fingerprint for one in long.judges]


def _parts(recipe: Recipe) -> list[Any]:
    ratio = recipe.judges[1]
    assert isinstance(ratio, DensityRatio)
    return [*recipe.policies, *recipe.judges, ratio.router, *recipe.filters, recipe.release.reference_model]


def test_what_is_no_name_is_an_id_as_ever(tmp_path: Path) -> None:
    made = read(tmp_path, {"gpt": GPT}, {"model": "gpt-x"}, {"model": "other"}, str(TINY / "strong"))
    assert policies_of(made)[0].base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ({"gpt": {"model": "x", "temprature": 1}}, "gpt.temprature: unknown key .did you mean 'temperature'"),
        ({"gpt": {"base_url": "http://h/v1"}}, "models.gpt.model: missing"),
        ({"gpt": {"model": "x", "temperature": 9}}, "models.gpt.temperature: .*found 9"),
        ({"gpt": {"model": "x", "dtype": "float"}}, r"models.gpt.dtype: 'float' is not allowed \(did you mean 'float"),
        ({"gpt": "x"}, "models.gpt: .*found 'x'"),
        ({"g p": {"model": "x"}}, "models.*'g p' is not allowed"),
        ({"gpt": {"model": "b"}, "b": {"model": "c"}}, "models.gpt.model is 'b', which is a name given here, too"),
        ({"weights": {"model": "x"}}, "models.weights hides the model in the folder or package 'weights'"),
        (
            {"gpt": {"model": "x", "extra": {"seed": 1}}},
            "extra.seed is set by the pipeline itself; write seed",
        ),
        ({"gpt": {"model": "x", "extra": {"a": [{"api_key": "sk-1"}]}}}, "extra.a.0..'api_key' would put a secret"),
        ({"gpt": {"model": "x", "extra": {"user": "sk-0123456789abcdef"}}}, "extra.user looks like a key"),
        ({"gpt": {"model": "x", "extra": {"extra_body": {}}}}, "extra.extra_body is no field"),
        ({"gpt": {"model": "x", "headers_env": {"Host": "A"}}}, "headers_env names the header 'Host'"),
        (
            {"gpt": {"model": "x", "headers_env": {"X-Key": "sk-0123 456"}}},
            "headers_env.X-Key: what stands there is no",
        ),
    ],
)
def test_what_is_wrong_with_a_name_is_told_once(models: dict[str, Any], told: str, tmp_path: Path) -> None:
    (tmp_path / "weights").symlink_to(TINY / "strong")
    with pytest.raises(RecipeError, match=told) as caught:
        read(tmp_path, models, {"model": "gpt"}, {"model": "gpt"}, str(TINY / "strong"))
    assert str(caught.value).count("\n") == 0
    assert "sk-0" not in str(caught.value)


def test_the_schema_has_shared_options_once() -> None:
    parts = recipe_json_schema()["$defs"]
    shared = {"$ref": "#/$defs/NamedModel/properties/reasoning_effort"}
    for name in ("LlmPairwise", "LlmRating", "Chat", "Completion", "Router"):
        assert parts[name]["properties"]["reasoning_effort"] == shared
    assert parts["Chat"]["properties"]["temperature"]["default"] == 0.7, "a default of its own"
    assert "description" in parts["NamedModel"]["properties"]["reasoning_effort"]


def test_new_options_at_their_defaults_change_no_fingerprint(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [])
    bare = read(tmp_path, {}, {"model": "m"}, {"model": "m"}, str(TINY / "strong"))
    new = {"reasoning_effort": None, "thinking": None, "extra": {}, "headers_env": {"X-Team": "TEAM"}}
    said = read(tmp_path, {}, {"model": "m", **new, "twins": None}, {"model": "m", **new}, str(TINY / "strong"))
    assert [one.fingerprint for one in said.judges] == [one.fingerprint for one in bare.judges]
    assert policies_of(said)[0].fingerprint == policies_of(bare)[0].fingerprint == "071e0d582e6678b3"
    for option in ({"reasoning_effort": "low"}, {"extra": {"top_k": 1}}, {"thinking": {}}):
        other = read(tmp_path, {}, {"model": "m", **option}, {"model": "m"}, str(TINY / "strong"))
        assert policies_of(other)[0].fingerprint != policies_of(bare)[0].fingerprint
