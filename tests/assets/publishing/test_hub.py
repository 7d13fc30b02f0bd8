"""Pushing to a Hub on loopback: what goes up, what comes back, and what happens when the Hub fails."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import hub_standin
import huggingface_hub.utils._http as hub_http
import polars as pl
import pytest
import release_folder as hand
from click.testing import CliRunner
from helpers import recipe_of, wide, write_jsonl
from hub_standin import Fault, Hub

from pairwright.assets.publishing.hub import push
from pairwright.assets.releasing.card import card
from pairwright.assets.releasing.versions import Release
from pairwright.export_command import push as command
from pairwright.pipelines.run import build as run
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.recipe import Recipe

REPO = "org/prefs"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_standin.running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", hub_standin.TOKEN)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_http.time, "sleep", lambda seconds: None)  # between retries
        yield server


def released(folder: Path, version: str = "v1", more: int = 0) -> Release:
    """A release with card and manifest; `more` takes rows away from the end."""
    rows = hand.pairs()
    hand.make(folder, rows[: len(rows) - more])
    files = {
        f"{name}/{path.name}": {"rows": 1, "blake2b": hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()}
        for name in ("pairs", "rankings")
        for path in sorted((folder / name).glob("*.parquet"))
    }
    counts = {
        f"{name}_{split}": int(f"{name}/{split}-00000.parquet" in files)
        for name in ("pairs", "rankings")
        for split in ("train", "test")
    }
    manifest = {
        "dataset": "hand",
        "version": version,
        "parent": None,
        "digest": version,
        "changes": None,
        "funnel": [],
        "judges": {},
        "counts": {**counts, "prompts": 1, "responses": 1},
        "files": files,
    }
    recipe = Recipe.model_validate(
        {"dataset": "hand", "prompts": {"source": "x.jsonl"}, "judges": [{"kind": "length"}]}
    )
    (folder / "README.md").write_text(card(recipe, manifest))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Release(version, folder, manifest)


def test_a_push_makes_a_private_repository_with_all_files_under_a_tag(hub: Hub, tmp_path: Path) -> None:
    made = released(tmp_path / "v1")
    done = push(made, REPO)
    repo = hub.repos[REPO]
    assert repo.private and repo.tags == {"v1": repo.head} and done.commit == repo.head
    there = {name: one.content for name, one in repo.commits[repo.head].items() if name != ".gitattributes"}
    assert there == {
        name: (made.path / name).read_bytes() for name in [*made.manifest["files"], "README.md", "manifest.json"]
    }
    assert not push(released(tmp_path / "other"), "org/open", public=True).delete
    assert not hub.repos["org/open"].private


def test_only_changed_files_go_up_and_stale_ones_go(hub: Hub, tmp_path: Path) -> None:
    push(released(tmp_path / "v1"), REPO)
    sent = hub.uploads()
    again = push(released(tmp_path / "v1-again"), REPO)
    assert (again.add, hub.uploads()) == ([], sent)
    second = released(tmp_path / "v2", "v2", more=1)
    done = push(second, REPO)
    assert done.add == ["pairs/train-00000.parquet", "README.md", "manifest.json"]
    assert done.unchanged == ["pairs/test-00000.parquet", "rankings/train-00000.parquet"]
    assert hub.uploads() == sent + 1
    third = released(tmp_path / "v3", "v3")
    for split in ("train", "test"):
        shutil.rmtree(third.path / "rankings", ignore_errors=True)
        third.manifest["files"].pop(f"rankings/{split}-00000.parquet", None)
    assert push(third, REPO).delete == ["rankings/train-00000.parquet"]
    assert set(hub.repos[REPO].tags) == {"v1", "v2", "v3"}


def test_a_version_with_other_content_is_never_overwritten(hub: Hub, tmp_path: Path) -> None:
    push(released(tmp_path / "a"), REPO)
    before = hub.repos[REPO].head
    with pytest.raises(StoreError, match=r"already has a v1 with other content \(pairs/train-00000.parquet\)"):
        push(released(tmp_path / "b", more=2), REPO)
    assert hub.repos[REPO].head == before


def test_a_dry_run_lists_and_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    folder = str(released(tmp_path / "v1").path)
    done = CliRunner().invoke(command, [folder, "--repo", REPO, "--dry-run"], catch_exceptions=False)
    assert "add pairs/train-00000.parquet" in done.output and "nothing was changed" in done.output
    assert not hub.repos and not any(call.startswith(("POST", "PUT")) for call in hub.calls)
    done = CliRunner().invoke(command, [folder, "--repo", REPO], catch_exceptions=False)
    assert f'load_dataset("{REPO}", "pairs", revision="v1")' in done.output
    done = CliRunner().invoke(command, [folder, "--repo", REPO, "--dry-run"], catch_exceptions=False)
    assert "unchanged: 5 files" in done.output


@pytest.mark.parametrize("token", [None, "hf_some"])
def test_a_dry_run_wants_no_token_and_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub_http.time, "sleep", lambda seconds: None)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    made = released(tmp_path / "v1")
    done = CliRunner().invoke(command, [str(made.path), "--repo", REPO, "--dry-run"], catch_exceptions=False)
    lines = done.output.splitlines()
    assert done.exit_code == 0 and lines[-1] == "dry run: nothing was changed"
    size = (made.path / "pairs" / "train-00000.parquet").stat().st_size
    assert f"add pairs/train-00000.parquet ({size / 1e3:,.1f} kB)" in lines
    assert any(f"would go to {REPO} under the tag v1" in line for line in lines)
    assert any("a new repository would be private" in line for line in lines)
    reason = "the connection broke" if token else "no token is set"
    assert any(line.startswith("not compared with the repository") and reason in line for line in lines)


def test_the_token_comes_from_the_environment_only(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = released(tmp_path / "v1")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PairwrightError, match="set HF_TOKEN in the environment"):
        push(made, REPO)
    assert not hub.calls
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_secret")
    with pytest.raises(StoreError, match="does not accept the token") as caught:
        push(made, REPO)
    assert "secret" not in str(caught.value)
    with pytest.raises(PairwrightError, match="'prefs' is no repository; write organisation/name"):
        push(made, "prefs")


@pytest.mark.parametrize(
    ("fault", "times", "says"),
    [
        (Fault("POST", "/repos/create", 403), 1, "may not write there"),
        (Fault("POST", "/commit/", 403), 1, "may not write there"),
        (Fault("POST", "/commit/", 409), 1, "changed the repository meanwhile"),
        (Fault("POST", "/commit/", 412), 1, "changed the repository meanwhile"),
        (Fault("POST", "/commit/", 500), 9, "the Hub failed"),
        (Fault("POST", "/lfs/objects/batch", 500), 9, "the Hub failed"),
        (Fault("PUT", "/store/", 0), 30, "the connection broke"),
        (Fault("POST", "/tag/", 500), 9, "the Hub failed"),
    ],
)
def test_after_a_failure_a_second_push_goes_on(hub: Hub, tmp_path: Path, fault: Fault, times: int, says: str) -> None:
    made = released(tmp_path / "v1")
    hub.faults = [fault] * times
    with pytest.raises(StoreError, match=f"v1 was not pushed to {REPO}: .*{says}"):
        push(made, REPO)
    assert REPO not in hub.repos or not hub.repos[REPO].tags
    hub.faults = []
    push(made, REPO)
    assert hub.repos[REPO].tags == {"v1": hub.repos[REPO].head}
    assert hub.uploads() - sum(call.startswith("PUT") for call in hub.calls if fault.method == "PUT") <= 3


def test_files_that_arrived_are_not_sent_again(hub: Hub, tmp_path: Path) -> None:
    made = released(tmp_path / "v1")
    hub.faults = [Fault("POST", "/commit/", 500)] * 9
    with pytest.raises(StoreError):
        push(made, REPO)
    sent = hub.uploads()
    hub.faults = []
    push(made, REPO)
    assert hub.uploads() == sent == 3


def test_a_damaged_release_is_not_pushed(hub: Hub, tmp_path: Path) -> None:
    made = released(tmp_path / "v1")
    (made.path / "pairs" / "test-00000.parquet").write_bytes(b"broken")
    with pytest.raises(StoreError, match="was changed or is damaged"):
        push(made, REPO)
    assert not hub.repos


def test_nights_publish_a_new_version_and_no_other(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    write_jsonl(tmp_path / "rows.jsonl", wide(20))
    schedule, judges = {"relabel": "0 2 * * *"}, [{"kind": "bleu"}]
    recipe = recipe_of(tmp_path, "rows.jsonl", release={"hub": REPO}, schedule=schedule, judges=judges)
    sent = []
    for day in (1, 2):
        run(recipe, tmp_path / "data", night=datetime(2026, 3, day, 2, tzinfo=UTC))
        sent.append(hub.uploads())
        assert list(hub.repos[REPO].tags) == ["v1"]
    assert sent[0] == sent[1] > 0


def test_load_dataset_gives_back_exactly_the_release(hub: Hub, tmp_path: Path) -> None:
    first, second = released(tmp_path / "v1"), released(tmp_path / "v2", "v2", more=1)
    push(first, REPO)
    push(second, REPO)
    code = (
        "import sys, datasets\n"
        f"for version, config in (('v1', 'pairs'), ('v2', 'pairs'), ('v1', 'rankings')):\n"
        f"    loaded = datasets.load_dataset({REPO!r}, config, revision=version)\n"
        "    for split, rows in loaded.items():\n"
        f"        rows.to_parquet(f'{tmp_path}/{{version}}-{{config}}-{{split}}.parquet')\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, timeout=120)
    for made, config, split in (
        (first, "pairs", "train"),
        (first, "pairs", "test"),
        (second, "pairs", "train"),
        (first, "rankings", "train"),
    ):
        found = pl.read_parquet(tmp_path / f"{made.version}-{config}-{split}.parquet")
        assert found.to_dicts() == pl.read_parquet(made.path / config / f"{split}-*.parquet").to_dicts()
