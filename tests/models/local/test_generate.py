"""Writing in this process, against transformers' own `generate`, the likelihood engine and the distribution itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pairwright.models.local.backend import Reading
from pairwright.models.local.generate import Draft, Drawing, Writer, Written, _drawn
from pairwright.models.local.local import Local
from pairwright.models.local.packing import Branch
from pairwright.schemas.models import CausalModel

torch = pytest.importorskip("torch")

TINY = Path(__file__).parents[3] / "pipelines" / "tiny" / "strong"
SUBJECTS = (
    "tides",
    "bread and how it is made on a cold day",
    "a fox",
    "why the sky is blue",
    "iron",
    "a very old song",
)


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer.load(CausalModel.model_validate(str(TINY)))


def drafts(each: int = 2) -> list[Draft]:
    return [
        Draft((subject, number), [{"role": "user", "content": f"Tell me about {subject}."}], 97 * number + len(subject))
        for subject in SUBJECTS
        for number in range(each)
    ]


def written(writer: Writer, some: list[Draft], how: Drawing) -> dict[Any, Written]:
    return {one.key: one for batch in writer.write(some, how) for one in batch}


def test_greedy_as_transformers_writes(writer: Writer) -> None:
    made = written(writer, drafts(1), Drawing(0.0, 1.0, 24))
    for draft in drafts(1):
        ids = writer.tokenizer(writer.renderer.prompt(draft.messages), add_special_tokens=False, return_tensors="pt")
        whole = writer.network.generate(
            **ids, do_sample=False, max_new_tokens=24, eos_token_id=sorted(writer.ends), pad_token_id=0
        )
        text = writer.tokenizer.decode(whole[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        assert made[draft.key].text == text


@pytest.mark.parametrize("top_p", [1.0, 0.7])
def test_tokens_come_as_often_as_the_model_says(top_p: float) -> None:
    chances = torch.tensor([0.05, 0.4, 0.25, 0.2, 0.1])
    uniform = (torch.arange(10_000) + 0.5) / 10_000
    tokens = _drawn(chances.log().expand(10_000, 5), uniform, 1.0, top_p)
    found = np.bincount(tokens.numpy(), minlength=5) / 10_000
    nucleus = chances.numpy() if top_p == 1 else np.array([0, 0.4, 0.25, 0.2, 0]) / 0.85
    np.testing.assert_allclose(found, nucleus, atol=2e-4)


def test_heat_flattens() -> None:
    uniform = (torch.arange(1_000) + 0.5) / 1_000
    logprobs = torch.tensor([0.8, 0.2]).log().expand(1_000, 2)
    cold, hot = ((_drawn(logprobs, uniform, heat, 1.0) == 0).float().mean().item() for heat in (0.5, 2.0))
    assert cold == pytest.approx(0.64 / 0.68, abs=2e-3)
    assert hot == pytest.approx(2 / 3, abs=2e-3)


def test_a_sample_is_its_seed_s_whatever_else_is_written(writer: Writer) -> None:
    how = Drawing(0.9, 0.95, 12)
    alone = {draft.key: written(writer, [draft], how)[draft.key].text for draft in drafts()}
    together = {key: one.text for key, one in written(writer, drafts()[::-1], how).items()}
    assert together == alone
    assert len(set(together.values())) == len(together)


def test_log_probs_are_the_engine_s(writer: Writer) -> None:
    local = Local(writer.network, writer.tokenizer, writer.limit)
    for draft in drafts(1)[:3]:
        one = written(writer, [draft], Drawing(0.7, 1.0, 16))[draft.key]
        prompt = writer.tokenizer(writer.renderer.prompt(draft.messages), add_special_tokens=False)["input_ids"]
        made = writer.tokenizer(one.text, add_special_tokens=False)["input_ids"]
        ids = [*prompt, *made, *([writer.renderer.end] if one.finish_reason == "stop" else [])]
        if len(ids) - len(prompt) != one.completion_tokens:
            continue  # the text can be cut into other tokens than those it was written in
        reading: Reading = local.read([[Branch(ids, len(prompt), (0,))]])[0,]
        assert one.logprob == pytest.approx(float(reading.logprobs.sum()), abs=1e-3)


def test_a_stop_text_ends_a_sample_before_it(writer: Writer) -> None:
    plain = written(writer, drafts(1), Drawing(0.0, 1.0, 24))
    for key, one in plain.items():
        stop = one.text[5:8]
        draft = next(draft for draft in drafts(1) if draft.key == key)
        cut = written(writer, [draft], Drawing(0.0, 1.0, 24, (stop,)))[key]
        assert (cut.text, cut.finish_reason) == (one.text[: one.text.index(stop)], "stop")
        assert cut.completion_tokens < one.completion_tokens


def test_how_samples_end(writer: Writer) -> None:
    assert {one.finish_reason for one in written(writer, drafts(1), Drawing(0.0, 1.0, 2)).values()} == {"length"}
    assert all(one.completion_tokens == 2 for one in written(writer, drafts(1), Drawing(0.0, 1.0, 2)).values())


def test_a_prompt_without_room_fails_alone(writer: Writer) -> None:
    long = Draft("long", [{"role": "user", "content": "far " * writer.limit}], 1)
    made = written(writer, [*drafts(1), long], Drawing(0.0, 1.0, 4))
    assert "leave no room" in str(made["long"].failure)
    assert all(one.failure is None for key, one in made.items() if key != "long")


def test_too_little_memory_halves_the_batch(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    how = Drawing(0.0, 1.0, 4)
    expected = written(writer, drafts(), how)
    small = Writer(writer.network, writer.tokenizer, writer.limit, "tiny", rows=12)
    real, sizes = writer.network.forward, list[int]()

    def tight(*args: Any, **kwargs: Any) -> Any:
        sizes.append(len(kwargs["input_ids"]))
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError
        return real(*args, **kwargs)

    monkeypatch.setattr(writer.network, "forward", tight)
    assert {key: one.text for key, one in written(small, drafts(), how).items()} == {
        key: one.text for key, one in expected.items()
    }
    assert max(sizes) > 4 >= small.rows
