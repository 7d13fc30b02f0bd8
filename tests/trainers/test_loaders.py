"""The loaders of trainers that do not install beside ours, run on exports where they are installed (`loaders.sh`).

Each test is the trainer's own code from file to what it trains on; the texts must be the release's, in its order.
"""

import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import release_folder as hand
import yaml

from pairwright.assets.publishing.export import export, format_named
from pairwright.assets.releasing.versions import Release

pytest.importorskip("transformers", reason="needs transformers: pip install 'pairwright[models]'")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DISABLE_VERSION_CHECK", "1")  # LLaMA-Factory's, which wants a transformers of its own

TINY = Path(__file__).parents[2] / "pipelines" / "tiny" / "strong"
TALK = [hand.turn("user", "one"), hand.turn("assistant", "two"), hand.turn("user", "three")]
DEVELOPER = [hand.turn("developer", "Be exact."), hand.turn("user", "with a developer's turn")]
SYSTEM = [hand.SYSTEM, hand.turn("user", "with a system prompt")]
PROMPTS = [[hand.turn("user", "alone")], TALK, SYSTEM, DEVELOPER, [hand.SYSTEM, *TALK]]
HOSTILE = hand.HOSTILE[:3]


def rows() -> list[dict[str, Any]]:
    """Prompts of every shape with answers that templates and readers find hard."""
    made = []
    for i, prompt in enumerate([*PROMPTS, *([hand.turn("user", f"{j} {text}")] for j, text in enumerate(HOSTILE))]):
        text = HOSTILE[i % len(HOSTILE)].strip()
        made.append(hand._pair(10 * (i + 1), prompt, f"{text} better", f"{text} worse", split="train"))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return hand.make(tmp_path_factory.mktemp("release") / "v1", rows())


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import PreTrainedTokenizerFast

    # not by its class's name, which older versions do not know
    made = PreTrainedTokenizerFast(
        tokenizer_file=str(TINY / "tokenizer.json"), pad_token="<|pad|>", eos_token="<|end|>"
    )
    made.chat_template = (TINY / "chat_template.jinja").read_text()
    return made


def pair_texts(row: dict[str, Any]) -> tuple[str, str]:
    return row["chosen"][-1]["content"], row["rejected"][-1]["content"]


def shaped(*shapes: str) -> list[dict[str, Any]]:
    """The rows whose prompt's roles are one of these, by their initials."""
    return [row for row in rows() if "".join(one["role"][0] for one in row["prompt"]) in shapes]


def rendered(tokenizer: Any, row: dict[str, Any], side: str | None = None) -> str:
    turns = [*row["prompt"], *(row[side] if side else [])]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=side is None))


def test_openrlhf_reads_whole_conversations_and_the_margin(made: Release, tmp_path: Path, tokenizer: Any) -> None:
    module = pytest.importorskip("openrlhf.datasets.reward_dataset", reason="needs openrlhf, in a venv of its own")
    from openrlhf.datasets.utils import blending_datasets

    path = export(made, format_named("openrlhf"), tmp_path / "out").path
    keys = {"chosen_key": "chosen", "rejected_key": "rejected", "apply_chat_template": True}
    strategy = SimpleNamespace(
        args=SimpleNamespace(data=SimpleNamespace(**keys)), print=lambda *_: None, is_rank_0=lambda: False
    )
    raw = blending_datasets(str(path / "train.jsonl"), strategy=strategy)
    reward = module.RewardDataset(raw, tokenizer, 512, strategy, num_processors=1)
    assert list(reward.extras) == [row["margin"] for row in rows()]
    assert list(reward.chosens) == [rendered(tokenizer, row, "chosen") for row in rows()]
    assert list(reward.rejects) == [rendered(tokenizer, row, "rejected") for row in rows()]
    dpo = module.RewardDataset(raw, tokenizer, 512, strategy, is_dpo=True, num_processors=1)
    assert list(dpo.prompts) == [rendered(tokenizer, row) for row in rows()]
    for prompt, chosen, row in zip(dpo.prompts, dpo.chosens, rows(), strict=True):
        assert prompt + chosen == rendered(tokenizer, row, "chosen")
    assert all(len(one) == len(rows()) for one in dpo.collate_fn([dpo[i] for i in range(len(dpo))])[:1])


def llama_factory(path: Path, name: str, stage: str, cache: Path) -> list[dict[str, Any]]:
    """What LLaMA-Factory's loader makes of a data set that `dataset_info.json` registers, before it is tokenized."""
    pytest.importorskip("llamafactory.data", reason="needs llamafactory, in a venv of its own")
    from llamafactory.data.loader import _get_merged_dataset
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import TrainingArguments

    data = DataArguments(dataset=name, dataset_dir=str(path), template="empty")
    model = ModelArguments(model_name_or_path=str(TINY), cache_dir=str(cache))
    training = TrainingArguments(output_dir=str(cache / "out"), use_cpu=True)
    found = _get_merged_dataset([name], model, data, training, stage)
    assert found is not None
    return list(found)


def told(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    return [one for one in turns if one["role"] not in ("system", "developer")]


def led_by(row: dict[str, Any]) -> str:
    first = row["prompt"][0]
    return str(first["content"]) if first["role"] in ("system", "developer") else ""


@pytest.mark.parametrize(
    ("kind", "held"),
    [("llamafactory-alpaca", ("u", "su", "du")), ("llamafactory-sharegpt", ("u", "su", "du", "uau", "suau"))],
)
def test_llama_factory_reads_pairs(made: Release, tmp_path: Path, kind: str, held: tuple[str, ...]) -> None:
    path = export(made, format_named(kind), tmp_path / "out").path
    found = llama_factory(path, "hand_train", "rm", tmp_path / "cache")
    assert [(one["_prompt"], one["_system"]) for one in found] == [
        (told(row["prompt"]), led_by(row)) for row in shaped(*held)
    ]
    assert [tuple(turn["content"] for turn in one["_response"]) for one in found] == [
        pair_texts(row) for row in shaped(*held)
    ]


def test_llama_factory_reads_kto(made: Release, tmp_path: Path) -> None:
    path = export(made, format_named("llamafactory-kto"), tmp_path / "out").path
    found = llama_factory(path, "hand_train", "kto", tmp_path / "cache")
    wanted = [
        (told(row["prompt"]), led_by(row), [text, ""] if good else ["", text])
        for row in rows()
        for good, text in zip((True, False), pair_texts(row), strict=True)
    ]
    assert [(one["_prompt"], one["_system"], [turn["content"] for turn in one["_response"]]) for one in found] == wanted


def axolotl(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Axolotl's preference loader makes of the stanza that lies beside an export."""
    pytest.importorskip("axolotl.utils.data.rl", reason="needs axolotl, in a venv of its own")
    from axolotl.utils.data.rl import prepare_preference_datasets
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from transformers import AutoTokenizer

    monkeypatch.chdir(path)
    stanza = yaml.safe_load((path / "axolotl.yaml").read_text())
    config = {
        "base_model": str(TINY),
        "tokenizer_config": str(TINY),
        "chat_template": "tokenizer_default",
        "sequence_len": 512,
        "shuffle_merged_datasets": False,
        "dataset_prepared_path": str(folder / "prepared"),
        "output_dir": str(folder / "out"),
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-5,
    }
    checked = AxolotlInputConfig(**{**config, **stanza}).model_dump(exclude_none=True)
    cfg = DictDefault({**config, "rl": checked["rl"], "datasets": checked["datasets"], "dataset_num_proc": 1})
    found, _ = prepare_preference_datasets(cfg, AutoTokenizer.from_pretrained(TINY))
    return list(found)


@pytest.mark.parametrize("kind", ["axolotl", "axolotl-argilla"])
def test_axolotl_reads_pairs(
    made: Release, tmp_path: Path, tokenizer: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(made, format_named(kind), tmp_path / "out").path
    found = axolotl(path, tmp_path, monkeypatch)
    as_system = {"developer": "system"}
    for one, row in zip(found, rows(), strict=True):
        turns = [{**turn, "role": as_system.get(turn["role"], turn["role"])} for turn in row["prompt"]]
        assert one["prompt"] == rendered(tokenizer, {"prompt": turns})
        for side, text in zip(("chosen", "rejected"), pair_texts(row), strict=True):
            assert one[side].startswith(text) and len(one[side]) < len(text) + 20


def test_axolotl_reads_kto_and_keeps_system_prompts(
    made: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(made, format_named("axolotl-kto"), tmp_path / "out").path
    found = axolotl(path, tmp_path, monkeypatch)
    wanted = [
        ("\n\n".join(turn["content"] for turn in row["prompt"]), text, good)
        for shape in (("u",), ("su", "du"))
        for row in shaped(*shape)
        for good, text in zip((True, False), pair_texts(row), strict=True)
    ]
    assert [(one["prompt"], one["completion"], one["label"]) for one in found] == wanted


def test_axolotl_reads_steps(tmp_path: Path, tokenizer: Any) -> None:
    module = pytest.importorskip(
        "axolotl.prompt_strategies.stepwise_supervised", reason="needs axolotl, in a venv of its own"
    )
    from datasets import Dataset

    lists = hand.rankings(
        steps=lambda texts: [["so", f"it is {one[:9]}"] for one in texts],
        step_labels=lambda texts: [[True, one == "a"] for one in texts],
    )
    made = hand.make(tmp_path / "v1", lists=lists)
    path = export(made, format_named("trl-stepwise"), tmp_path / "out").path
    strategy = module.StepwiseSupervisedPromptTokenizingStrategy(tokenizer)
    rows = Dataset.from_parquet(str(path / "train.parquet"), cache_dir=str(tmp_path / "cache")).to_list()
    assert len(rows) == 8
    for row in rows:
        read = strategy.tokenize_prompt(row)
        assert tokenizer.decode(read["input_ids"]) == row["prompt"] + "".join(
            f"{step}\n" for step in row["completions"]
        )
        assert [label for label in read["labels"] if label >= 0] == [int(label) for label in row["labels"]]


def test_rewardbench_reads_pairs(made: Release, tmp_path: Path, tokenizer: Any) -> None:
    module = pytest.importorskip("rewardbench.utils", reason="needs rewardbench, in a venv of its own")
    path = export(made, format_named("rewardbench"), tmp_path / "out").path
    found = module.load_and_process_dataset(str(path / "train.jsonl"), json=True, tokenizer=tokenizer)
    held = shaped("u", "uau")
    for side in ("chosen", "rejected"):
        assert list(found[f"text_{side}"]) == [rendered(tokenizer, row, side) for row in held]


def test_rewardbench_2_reads_lists(made: Release, tmp_path: Path, tokenizer: Any) -> None:
    module = pytest.importorskip("rewardbench.utils", reason="needs rewardbench, in a venv of its own")
    path = export(made, format_named("rewardbench-2"), tmp_path / "out").path
    found, subsets, total, correct = module.load_bon_dataset_v2(
        str(path / "train.jsonl"), tokenizer=tokenizer, logger=logging.getLogger("rewardbench")
    )
    lines = [json.loads(line) for line in (path / "train.jsonl").open()]
    answers = [
        {"prompt": [hand.turn("user", line["prompt"])], "side": [hand.turn("assistant", text)]}
        for line in lines
        for text in line["chosen"] + line["rejected"]
    ]
    assert list(found["text"]) == [rendered(tokenizer, one, "side") for one in answers]
    assert (list(total), list(correct)) == ([3, 3], [1, 2]) and set(subsets) == {"test"}
