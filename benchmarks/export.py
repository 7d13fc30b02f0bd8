"""Exports and the report on a release of one million pairs: time, and peak memory of each in a process of its own.

Run `python benchmarks/export.py [pairs]`. The peer of the TRL export is polars rewriting the same columns, in a process
of its own too; the two take turns and the better of two rounds counts on either side.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pairwright.assets.pairing.funnel import FunnelStep
from pairwright.assets.publishing.export import export, format_named
from pairwright.assets.releasing.versions import Release
from pairwright.assets.report.page import page
from pairwright.assets.storage.split_writer import SplitWriter
from pairwright.assets.storage.store import Workspace
from pairwright.judges.bleu.bleu import Bleu
from pairwright.schemas.recipe import Recipe

PAIRS, SHARDS, ROUNDS = 1_000_000, 32, 2
JSONL = ("axolotl", "llamafactory-sharegpt", "nemo-rl")


def recipe() -> Recipe:
    return Recipe.model_validate(
        {"dataset": "big", "prompts": {"source": "none.jsonl"}, "shards": SHARDS, "judges": [{"kind": "bleu"}]}
    )


def fill(data: Path, pairs: int) -> None:
    """The tables and the release of a data set with two responses a prompt, texts of about 200 and 450 characters."""
    workspace, rng = Workspace.of(recipe(), data), np.random.default_rng(0)
    folder = workspace.releases / "v1"
    letters = np.array(list("etaoinshrdlu     \n"))
    pool = pl.Series(["".join(rng.choice(letters, 150)) for _ in range(4096)])
    with SplitWriter(folder / "pairs") as writer:
        for shard in workspace.each_shard():
            rows = pairs * (shard.index + 1) // SHARDS - pairs * shard.index // SHARDS
            tables = _tables(shard.index, rows, pool, rng)
            writer.add(tables.pop("release"))
            for name, frame in tables.items():
                path = workspace.file(name, shard)
                path.parent.mkdir(parents=True, exist_ok=True)
                frame.write_parquet(path, row_group_size=65_536)
    (folder / "manifest.json").write_text(json.dumps(_manifest(pairs)), encoding="utf-8")


def _tables(index: int, rows: int, pool: pl.Series, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    def text(sentences: int) -> pl.Series:
        return pl.select(
            pl.concat_str([pool.gather(rng.integers(0, len(pool), rows)) for _ in range(sentences)])
        ).to_series()

    first = np.sort(rng.integers(index * 2**32 // SHARDS, (index + 1) * 2**32 // SHARDS, rows))
    ids = pl.DataFrame({"n": first, "row": np.arange(rows)}).select(
        prompt_id=pl.format("{}{}", _hexed("n"), pl.col("row").cast(pl.String).str.zfill(16))
    )["prompt_id"]
    frame = pl.DataFrame({"prompt_id": ids, "question": text(1), "better": text(3), "worse": text(3)}).with_columns(
        chosen_id=pl.col("prompt_id").str.reverse(),
        rejected_id=pl.format("f{}", pl.col("prompt_id").str.reverse().str.slice(1)),
        score_chosen=pl.Series(rng.random(rows) + 1),
        score_rejected=pl.Series(rng.random(rows)),
    )
    turn = [
        pl.concat_list(pl.struct(role=pl.lit(role), content=pl.col(name))).alias(to)
        for role, name, to in (
            ("user", "question", "prompt"),
            ("assistant", "better", "chosen"),
            ("assistant", "worse", "rejected"),
        )
    ]
    pairs = frame.with_columns(
        turn,
        pair_id=pl.col("chosen_id"),
        margin=pl.col("score_chosen") - pl.col("score_rejected"),
        label_confidence=pl.lit(1.0),
        kept=pl.lit(True),
        reason=pl.lit(None, pl.String),
        split=pl.when(pl.col("prompt_id").str.slice(6, 2) < "08").then(pl.lit("test")).otherwise(pl.lit("train")),
    )
    sides = [
        frame.select(
            "prompt_id",
            response_id=f"{side}_id",
            text=text_of,
            utility=f"score_{side}",
            policies=pl.concat_list(pl.lit(side)),
        )
        for side, text_of in (("chosen", "better"), ("rejected", "worse"))
    ]
    responses = pl.concat(sides).sort("prompt_id", "response_id")
    verdict = responses.select(
        "prompt_id",
        "response_id",
        score="utility",
        round=pl.lit(0, pl.UInt16),
        criterion=pl.lit("bleu"),
        failure=pl.lit(None, pl.String),
        rationale=pl.lit(None, pl.String),
        cost_usd=pl.lit(None, pl.Float64),
    )
    narrow = [
        "pair_id",
        "prompt_id",
        "chosen_id",
        "rejected_id",
        "score_chosen",
        "score_rejected",
        "margin",
        "label_confidence",
    ]
    return {
        "prompts": pairs.select("prompt_id", messages="prompt"),
        "responses": responses.select("prompt_id", "response_id", "text", "policies"),
        "preferences": responses.select("prompt_id", "response_id", "utility", scores=pl.struct(bleu="utility")),
        "pairs": pairs.select(*narrow, "kept", "reason"),
        f"verdicts/bleu-{Bleu().fingerprint}": verdict,
        "release": pairs.select(*narrow[:4], "prompt", "chosen", "rejected", *narrow[4:], "split"),
    }


def _hexed(column: str) -> pl.Expr:
    """Eight hexadecimal digits of a number."""
    digits = pl.lit(pl.Series(list("0123456789abcdef")))
    return pl.concat_str(
        [digits.gather((pl.col(column) // 16**place % 16).cast(pl.UInt32)) for place in range(7, -1, -1)]
    )


def _manifest(pairs: int) -> dict[str, Any]:
    counts = {"prompts": pairs, "responses": 2 * pairs, "rows": pairs, "rejects": 0}
    counts |= {f"{name}_{split}": pairs // 2 for name in ("pairs", "rankings") for split in ("train", "test")}
    step = FunnelStep("pairs kept", pairs, 0, pairs)._asdict()
    return {
        "dataset": "big",
        "version": "v1",
        "parent": None,
        "digest": "0",
        "made_by": "benchmark",
        "counts": counts,
        "funnel": [step],
        "changes": None,
    }


def one(task: str, data: Path) -> dict[str, float]:
    """Do one thing in this process: seconds, bytes written, and peak memory in GiB."""
    folder = data / "big" / "releases" / "v1"
    made = Release("v1", folder, json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory(dir=data) as scratch:
        out, start = Path(scratch) / "out", time.perf_counter()
        if task == "polars":
            out.mkdir()
            columns = ["prompt", "chosen", "rejected", "score_chosen", "score_rejected", "margin"]
            for split in ("train", "test"):
                rows = pl.scan_parquet(sorted((folder / "pairs").glob(f"{split}-*")), glob=False).select(columns)
                rows.sink_parquet(out / f"{split}.parquet", engine="streaming")
        elif task == "report":
            out.mkdir()
            (out / "report.html").write_text(
                page(recipe(), Workspace.of(recipe(), data), made.manifest), encoding="utf-8"
            )
        else:
            export(made, format_named(task), out)
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in out.iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "bytes": size, "peak": peak}


def _apart(task: str, data: Path) -> dict[str, float]:
    command = [sys.executable, __file__, task, str(data)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(pairs: int = PAIRS) -> dict[str, float]:
    """export_vs_polars is time over time; JSON Lines in MB/s written, the slowest format; seconds; GiB over all."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        fill(data, pairs)
        rounds = [(_apart("polars", data), _apart("trl", data)) for _ in range(ROUNDS)]
        jsonl = [_apart(name, data) for name in JSONL]
        written = _apart("report", data)
    mine = [ours for _, ours in rounds]
    return {
        "export_vs_polars": min(one["seconds"] for one in mine) / min(peer["seconds"] for peer, _ in rounds),
        "export_jsonl_mb_per_s": min(one["bytes"] / 1e6 / one["seconds"] for one in jsonl),
        "report_seconds": written["seconds"],
        "report_mb": written["bytes"] / 1e6,
        "export_peak_gib": max(one["peak"] for one in [*mine, *jsonl]),
        "report_peak_gib": written["peak"],
    }


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one(sys.argv[1], Path(sys.argv[2]))))
    else:
        for name, value in measure(*map(int, sys.argv[1:2])).items():
            print(f"{name}: {value:,.2f}")
