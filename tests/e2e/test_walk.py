"""The walk of a new user: build the demo, read its report, export it, train on it, publish it, and load it back."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hub_standin
import polars as pl
import pytest

from pairwright.pipelines.recipes import DEMO

pytestmark = pytest.mark.slow
pytest.importorskip("trl", reason="needs the extra test-trainers: pip install 'pairwright[test-trainers]'")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

MODEL = DEMO.parent / "tiny" / "strong"
STEPS = 10


def pairwright(*arguments: str, cwd: Path, **env: str) -> list[str]:
    """The lines that a command prints. It must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "pairwright", *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=420,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder in which the demo has been built."""
    here = tmp_path_factory.mktemp("walk")
    assert pairwright("build", str(DEMO), cwd=here)[-1] == "data/demo/releases/v1"
    return here


def test_the_release_has_a_card_a_report_and_its_data(folder: Path) -> None:
    release = folder / "data" / "demo" / "releases" / "v1"
    assert {"README.md", "manifest.json", "report.html", "pairs", "rankings"} == {one.name for one in release.iterdir()}
    assert "v1" in "\n".join(pairwright("releases", str(DEMO), cwd=folder))
    first = pl.read_parquet(release / "pairs" / "train-00000.parquet").get_column("pair_id")[0]
    assert any("in releases: v1" in line for line in pairwright("explain", first, cwd=folder))


def test_ten_dpo_steps_on_the_exported_folder(folder: Path) -> None:
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    assert pairwright("export", "demo", "--format", "trl", "--out", "out/trl", cwd=folder)[-1] == "out/trl"
    data = load_dataset(str(folder / "out" / "trl"), split="train", cache_dir=str(folder / "cache"))
    data = data.remove_columns(["ref_chosen_logps", "ref_rejected_logps"]).select(range(16))
    options: dict[str, Any] = {"max_steps": STEPS, "per_device_train_batch_size": 8, "learning_rate": 1e-4}
    options |= {"lr_scheduler_type": "constant", "logging_steps": 1, "report_to": "none", "save_strategy": "no"}
    options |= {"use_cpu": True, "bf16": False, "activation_checkpointing": False, "disable_tqdm": True, "seed": 0}
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(MODEL),
        ref_model=AutoModelForCausalLM.from_pretrained(MODEL),
        args=DPOConfig(output_dir=str(folder / "run"), max_length=128, **options),
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(MODEL),
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == STEPS and sum(losses[-3:]) / 3 < 0.9 * losses[0], losses


def test_what_is_pushed_is_what_comes_back(folder: Path) -> None:
    load = (
        "import sys; from datasets import load_dataset\n"
        "for name in ('pairs', 'rankings'):\n"
        "    for split, rows in load_dataset('org/demo', name, revision='v1').items():\n"
        "        rows.to_parquet(f'back-{name}-{split}.parquet')\n"
    )
    with hub_standin.running() as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub_standin.TOKEN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        env |= {"HF_HOME": str(folder / "hf")}
        assert "dry run: nothing was changed" in pairwright(
            "push", "demo", "--repo", "org/demo", "--dry-run", cwd=folder, **env
        )
        assert not hub.repos
        assert pairwright("push", "demo", "--repo", "org/demo", cwd=folder, **env)[-1].startswith("org/demo v1 at ")
        assert "unchanged: 6 files" in pairwright("push", "demo", "--repo", "org/demo", cwd=folder, **env)
        subprocess.run([sys.executable, "-c", load], cwd=folder, env={**os.environ, **env}, check=True, timeout=120)
    for path in (folder / "data" / "demo" / "releases" / "v1").glob("*/*.parquet"):
        back = pl.read_parquet(folder / f"back-{path.parent.name}-{path.name.split('-')[0]}.parquet")
        assert back.rows() == pl.read_parquet(path).rows()
