"""Kinds from elsewhere: an installed package, and a single file that the environment names; used as any other."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import polars as pl
import pytest
import yaml
from helpers import wide, write_jsonl

from pairwright.assets.publishing.formats.base import last_text

PACKAGE = Path(__file__).parents[1] / "plugin_package"
ROOT = PACKAGE.parents[1]
JUDGE = (PACKAGE / "pairwright_example" / "questions.py").read_text(encoding="utf-8")


def recipe(folder: Path, **parts: object) -> Path:
    rows = [row | {"responses": [f"{text}{'?' * i}" for i, text in enumerate(row["responses"])]} for row in wide(12)]
    write_jsonl(folder / "rows.jsonl", rows)
    path = folder / "recipe.yaml"
    content = {"dataset": "added", "prompts": {"source": "rows.jsonl"}, "judges": [{"kind": "example-questions"}]}
    path.write_text(yaml.safe_dump({**content, **parts}), encoding="utf-8")
    return path


def run(python: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line of an interpreter, with a venv's packages and ours."""
    return subprocess.run(
        [python, "-m", "pairwright", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of a venv in which the package is installed, beside all that is installed here."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    made = str(folder / "bin" / "python")
    query = [made, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip())
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    source = shutil.copytree(PACKAGE, folder / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", made, "install", "--quiet"]
    options = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *options, str(source)], check=True, capture_output=True)
    return made


def test_a_package_adds_to_every_family_that_it_names(python: str, tmp_path: Path) -> None:
    path = recipe(
        tmp_path,
        judges=[{"kind": "example-questions"}, {"kind": "example-near-reference"}],
        jury={"method": "example-robust", "weights": {"example-questions": 2.0, "example-near-reference": 0.0}},
        pairs={"strategy": "example-best-vs-middle", "max_per_prompt": 1},
        filters=[{"kind": "example-shorter", "minimum": -1000}, {"kind": "example-typical", "times": 2.0}],
        release={"formats": ["example-lines"], "columns": ["example-script"]},
    )
    refused = run(sys.executable, "plan", str(path), "--data", str(tmp_path / "data"))
    assert refused.returncode == 1
    added = ["questions", "near-reference", "robust", "best-vs-middle", "shorter", "typical", "lines", "script"]
    assert all(f"'example-{one}' is not known" in refused.stderr for one in added), "where it is not installed"
    built = run(python, "build", str(path), "--data", str(tmp_path / "data"))
    assert built.returncode == 0, built.stderr
    release = Path(built.stdout.splitlines()[-1])
    manifest = json.loads((release / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["judges"]["example-questions"]["kind"] == "example-questions"
    assert {"pairs after example-shorter", "pairs after example-typical"} <= {one["step"] for one in manifest["funnel"]}
    pairs = pl.read_parquet(release / "pairs" / "*.parquet")
    assert pairs.get_column("example_script").to_list() == ["latin"] * 12
    assert pairs.select(
        pl.col("chosen_scores").struct.field("example-near-reference").is_between(0.1, 1.0).all()
    ).item()
    asked = [len(text) - len(text.rstrip("?")) for text in pairs.select(last_text("rejected")).to_series()]
    assert asked == [2] * 12, "the third of four, which ask nothing, once, twice and three times"
    assert pairs.get_column("margin").to_list() == [2.0] * 12, "a median deviation is 1"
    lines = [*(tmp_path / "data").rglob("exports/**/train.jsonl")]
    assert lines and json.loads(lines[0].read_text(encoding="utf-8").splitlines()[0]).keys() == {"text"}


def test_a_single_file_adds_a_judge_whose_content_is_part_of_its_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "my_judge.py"
    releases = []
    for text in (JUDGE, JUDGE.replace("score=-asked", "score=asked")):
        file.write_text(text, encoding="utf-8")
        path = recipe(tmp_path)
        built = run(sys.executable, "build", str(path), "--data", str(tmp_path / "data"), PAIRWRIGHT_PLUGINS=str(file))
        assert built.returncode == 0, built.stderr
        releases.append(json.loads((Path(built.stdout.splitlines()[-1]) / "manifest.json").read_text(encoding="utf-8")))
    first, second = (one["judges"]["example-questions"]["fingerprint"] for one in releases)
    assert first != second, "other code has not given the old verdicts"
    assert releases[1]["changes"]["flipped"] > 0
