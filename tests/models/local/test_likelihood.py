"""The likelihood engine against an oracle that reads one text at a time, in 64 bits and without any sharing."""

import numpy as np
import polars as pl
import pytest
from helpers import SHARED
from tiny_models import backend, oracle, oracle_text, read_all, rendered, tiny, work

from pairwright.models.local import packing
from pairwright.models.local.local import Local
from pairwright.models.local.packing import Branch
from pairwright.models.local.rendering import Renderer
from pairwright.models.local.request import PassRequest, united, utterance_id
from pairwright.schemas.errors import JudgeError, RecipeError

ALL = PassRequest(
    tiny(), wants=frozenset({"tokens", "hidden"}), follow_ups=("Thank you.", "That is wrong, you know.", "Why?")
)
BETWEEN = "<|end|>\n<|user|>\n"
SHORT = {
    "How can I bake a small cake?": [
        "To bake a small cake, warm the oven.",
        "",
        "a",
        "\n\nwell",
        "好的。",
        "x = [1, 2]\n",
    ],
    "为什么天空是蓝色的？": ["因为光会散射。", "不知道", " "],
    "def add(a, b):": ["    return a + b\n", "    return a - b\n", "pass"],
}


def real_prompts() -> dict[str, list[str]]:
    """Some real prompts in English, Japanese and code, each with real, empty, one-token and greatest responses."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent")
    rows = pl.read_parquet(SHARED / "multi_response.parquet").filter(pl.col("prompt").str.len_chars() < 400)
    seeds = pl.read_parquet(SHARED / "seed_prompts.parquet").filter(pl.col("tests").is_not_null())
    some: dict[str, list[str]] = {}
    for subset in ("oa", "fg", "xs", "rk"):
        mine = rows.filter(pl.col("prompt_id").str.starts_with(subset)).sort("prompt_id")
        for prompt, texts in _first(mine):
            some[prompt] = [*(text[:500] for text in texts[:4]), "", "a"]
    for prompt, references in seeds.select("prompt", "references").head(3).iter_rows():
        some[prompt] = [*references[:1], "", "def"]
    return some


def _first(rows: pl.DataFrame) -> list[tuple[str, list[str]]]:
    grouped = rows.group_by("prompt", maintain_order=True).agg("response").head(3)
    return [(prompt, texts) for prompt, texts in grouped.iter_rows()]


def compare(prompts: dict[str, list[str]], rows: pl.DataFrame) -> int:
    """Every number of every row against the oracle; how many responses were compared."""
    batch = work(prompts)
    texts = batch.responses.join(rows, on=["prompt_id", "response_id"], how="left")
    asked = {row["prompt_id"]: row["messages"][-1]["content"] for row in batch.prompts.iter_rows(named=True)}
    sums: dict[str, np.ndarray] = {}
    for row in texts.iter_rows(named=True):
        if row["failure"]:
            continue
        ids, start = oracle_text(rendered(asked[row["prompt_id"]]), row["text"])
        logprobs, states = oracle(ids, start)
        assert row["tokens"] == len(ids) - 1 - start
        assert row["token_ids"] == ids[start:-1]
        assert row["logprob"] == pytest.approx(logprobs[:-1].sum(), rel=1e-4, abs=1e-4)
        assert row["end_logprob"] == pytest.approx(logprobs[-1], rel=1e-4, abs=1e-4)
        assert row["token_logprobs"] == pytest.approx(logprobs[:-1].tolist(), rel=1e-4, abs=1e-4)
        sums[row["response_id"]] = states.sum(0)
        for entry in row["follow_ups"]:
            utterance = next(text for text in ALL.follow_ups if utterance_id(text) == entry["utterance"])
            prompt = rendered(asked[row["prompt_id"]]) + row["text"] + BETWEEN
            whole, first = oracle_text(prompt, utterance, limit=10_000)
            uncut, _ = oracle_text(rendered(asked[row["prompt_id"]]), row["text"], limit=10_000)
            cut = len(uncut) - len(ids)  # what is cut of the prompt stays cut behind the response
            said, _ = oracle(whole[cut:-1], first - cut)
            assert entry["tokens"] == len(said)
            assert entry["logprob"] == pytest.approx(said.sum(), rel=1e-4)
    for row in texts.iter_rows(named=True):
        for entry in row["gram"] or []:
            expected = sums[row["response_id"]] @ sums[entry["other"]]
            scale = np.linalg.norm(sums[row["response_id"]]) * np.linalg.norm(sums[entry["other"]])
            assert entry["sums"] == pytest.approx(expected, abs=1e-4 * scale)
    return len(sums)


def test_numbers_are_the_oracles():
    assert compare(SHORT, read_all(work(SHORT), ALL)) == sum(map(len, SHORT.values()))


def test_numbers_are_the_oracles_on_real_prompts():
    prompts = real_prompts()
    assert sum(any("\u3040" <= letter <= "\u30ff" for letter in prompt) for prompt in prompts) == 3
    assert compare(prompts, read_all(work(prompts), ALL)) > 60


def test_a_long_prompt_is_read_once_from_its_cache(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "ROW", 200)
    long = {"Explain the tide. " * 22: ["It is the moon.", "", "The sun, and the moon, and the wind." * 2, "No."]}
    assert any(not m.branch.sink for r in packing.pack(_branches(long), 0, sharing=True) for m in r.members)
    compare(long, read_all(work(long), ALL))


def _branches(prompts: dict[str, list[str]]) -> list[Branch]:
    made = [oracle_text(rendered(prompt), text) for prompt, texts in prompts.items() for text in texts]
    return [Branch(ids, start, (i,)) for i, (ids, start) in enumerate(made)]


@pytest.mark.parametrize("budget", [1, 300, 100_000])
def test_batches_and_sharing_change_nothing(budget: int):
    model = backend()
    groups = [_branches({prompt: texts}) for prompt, texts in SHORT.items()]
    groups = [[one._replace(sink=(g, *one.sink), hidden=True) for one in group] for g, group in enumerate(groups)]
    for sharing in (True, False):
        other = Local(model.network, model.tokenizer, model.limit, budget)
        assert other.sharing
        other.sharing = sharing
        found, expected = other.read(groups), model.read(groups)
        assert found.keys() == expected.keys()
        for sink in found:
            np.testing.assert_allclose(found[sink].logprobs.sum(), expected[sink].logprobs.sum(), rtol=1e-4)
            np.testing.assert_allclose(found[sink].hidden_sum, expected[sink].hidden_sum, rtol=1e-4, atol=1e-3)


def test_padding_is_never_counted():
    alone = read_all(work({"Hi": ["yes"]}), ALL)
    beside = read_all(work({"Hi": ["yes"], "Tell me all. " * 20: ["Well, " * 60]}), ALL)
    both = alone.join(beside, on="response_id", suffix="_beside")
    assert both["logprob"][0] == pytest.approx(both["logprob_beside"][0], rel=1e-4)
    assert both["gram"][0][0]["sums"] == pytest.approx(both["gram_beside"][0][0]["sums"], rel=1e-4)


def test_a_token_across_the_boundary_belongs_to_the_response():
    renderer = Renderer(backend().tokenizer, 512, "tiny")
    (text,) = renderer.texts([{"role": "user", "content": "Hi"}], ["\n\nindeed"])
    prompt = renderer.prompt([{"role": "user", "content": "Hi"}])
    apart = renderer.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    whole = renderer.tokenizer(prompt + "\n\nindeed", add_special_tokens=False)["input_ids"]
    assert text is not None and text.ids[:-1] == whole
    decoded = renderer.tokenizer.decode(text.ids[text.start : -1])
    assert decoded.endswith("\n\nindeed")
    assert text.start <= len(apart)


def test_a_response_that_does_not_fit_fails_and_a_long_prompt_is_cut_and_marked():
    turns = [
        {"role": "user", "content": "Old words. " * 60},
        {"role": "assistant", "content": "I see. " * 60},
        {"role": "user", "content": "And now?"},
    ]
    rows = read_all(
        work([(turns, ["Fine.", "far too long " * 600]), ("Say so. " * 300, ["Now."]), ("Hi", ["Yes."])]), ALL
    )
    failed = rows.filter(pl.col("failure").is_not_null())
    assert failed.height == 1 and "does not fit in the model's 512 tokens" in failed["failure"][0]
    assert failed["logprob"].null_count() == 1
    marks = dict(rows.filter(pl.col("failure").is_null()).select("prompt_tokens", "truncated").iter_rows())
    assert sorted(marks.values()) == [False, True, True]
    by_message = min(count for count, cut in marks.items() if cut)
    assert by_message < 40, "the oldest turns go first, so the last one is whole"


def test_plain_template_without_chat_template_and_bos_that_is_eos():
    import copy

    tokenizer = copy.deepcopy(backend().tokenizer)
    tokenizer.chat_template = None
    tokenizer.bos_token = tokenizer.eos_token
    renderer = Renderer(tokenizer, 512, "plain")
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert renderer.prompt(messages) == "### System\nBe kind.\n\n### User\nHi\n\n### Assistant\n"
    one, two = renderer.texts(messages, ["Yes", "Yes<|end|>"])
    assert one is not None and two is not None
    assert one.ids[-1] == tokenizer.eos_token_id
    assert len(two.ids) == len(one.ids) + 1, "an end token within the response is not trimmed with the one at its end"


def test_needs_of_one_model_are_one_pass():
    needs = [
        PassRequest(tiny()),
        PassRequest(tiny(), follow_ups=("a", "b")),
        PassRequest(tiny(), wants=frozenset({"hidden"}), follow_ups=("b",)),
    ]
    (one,) = united(needs).values()
    assert one.follow_ups == ("a", "b") and one.wants == {"hidden"}
    assert len(united([*needs, PassRequest(tiny("weak"))])) == 2


def test_a_server_is_not_asked_for_hidden_states():
    with pytest.raises(RecipeError, match="no hidden states"):
        united([PassRequest(tiny(base_url="http://127.0.0.1:1/v1"), wants=frozenset({"hidden"}))])


def test_fingerprints_know_content_and_not_places(tmp_path):
    import shutil

    from pairwright.schemas.models import CausalModel

    copy = tmp_path / "copied"
    shutil.copytree(tiny().id, copy)
    assert (
        PassRequest(CausalModel(id=str(copy))).key == PassRequest(tiny()).key == PassRequest(tiny(batch_tokens=17)).key
    )
    config = copy / "config.json"
    config.write_text(config.read_text() + "\n")
    assert PassRequest(CausalModel(id=str(copy))).key != PassRequest(tiny()).key
    assert PassRequest(tiny(dtype="bfloat16")).key != PassRequest(tiny()).key


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path):
    from pairwright.schemas.models import CausalModel

    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    with pytest.raises(JudgeError, match="empty' cannot be loaded") as error:
        Local.load(CausalModel(id=str(tmp_path / "empty"), device="cpu"))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="there is no folder"):
        CausalModel(id="./nowhere/at/all")


def test_a_branch_on_the_hub_stands_for_a_commit(tmp_path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    from pairwright.schemas.models import CausalModel

    commit = "0123456789abcdef" * 2 + "01234567"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RecipeError, match=r"'org/unheard-of': revision 'main' could not be turned into a commit"):
        PassRequest(CausalModel(id="org/unheard-of")).key  # noqa: B018 - asking is the test
    refs = tmp_path / "models--org--base" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(commit)
    assert PassRequest(CausalModel(id="org/base")).key == PassRequest(CausalModel(id="org/base", revision=commit)).key
    assert PassRequest(CausalModel(id="org/base", revision="f" * 40)).key != PassRequest(CausalModel(id="org/base")).key
