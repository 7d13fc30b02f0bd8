"""Runs the benchmarks, prints the figures against the targets, and writes benchmarks/results.json and the table.

`python benchmarks/run.py [NAME …]` runs some of them: bleu, pairs, build, build_vs_script, cli_start, llm,
likelihood, likelihood_memory, export, build_scaling, two_endpoints, existing_pairs, media, policy.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent


class Target(NamedTuple):
    """What a figure should reach: at most or at least `value`."""

    value: float
    unit: str
    at_least: bool = False

    def met(self, figure: float) -> bool:
        """Whether a figure reaches it."""
        return figure >= self.value if self.at_least else figure <= self.value


MARK = "<!-- written by run.py -->"
BENCHMARKS = (
    "bleu", "pairs", "build", "build_vs_script", "build_scaling", "cli_start", "llm", "two_endpoints", "likelihood",
    "likelihood_memory", "export", "existing_pairs", "media", "policy",
)  # fmt: skip
TARGETS = {
    "logprob_vs_forward": Target(0.9, "times as fast", at_least=True),
    "logprob_vs_one_by_one": Target(3.5, "times as fast", at_least=True),
    "logprob_vs_one_by_one_short": Target(1, "times as fast", at_least=True),
    "ches_vs_pairwise": Target(15, "times as fast", at_least=True),
    "follow_up_vs_naive": Target(20, "times as fast", at_least=True),
    "fused_vs_dearest": Target(1.25, "times as long"),
    "likelihood_peak_gib": Target(2, "GiB"),
    "likelihood_peak_flat": Target(1.15, "times as much"),
    "transformers_policy_vs_generate": Target(0.9, "times as fast", at_least=True),
    "bleu_vs_sacrebleu": Target(5, "times as fast", at_least=True),
    "pairs_vs_polars": Target(2, "times as long"),
    "rerun_unchanged_seconds": Target(3, "s"),
    "build_vs_script": Target(2, "times as long"),
    "build_scaling": Target(1.7, "times as fast", at_least=True),
    "two_endpoints_vs_slower": Target(1.15, "times as long"),
    "existing_pairs_vs_polars": Target(2, "times as long"),
    "existing_pairs_peak_gib": Target(2, "GiB"),
    "cli_start_seconds": Target(0.7, "s"),
    "build_peak_gib": Target(2, "GiB"),
    "build_peak_flat": Target(1.15, "times as much"),
    "llm_vs_raw_client": Target(0.95, "times as fast", at_least=True),
    "llm_vs_barrier": Target(2.5, "times as fast", at_least=True),
    "llm_cpu_ms_per_call": Target(1, "ms"),
    "llm_plan_gib": Target(1, "GiB"),
    "export_vs_polars": Target(2, "times as long"),
    "export_jsonl_mb_per_s": Target(100, "MB/s", at_least=True),
    "report_seconds": Target(30, "s"),
    "report_mb": Target(10, "MB"),
    "export_peak_gib": Target(1.5, "GiB"),
    "media_peak_gib": Target(1, "GiB"),
}


def main(names: list[str]) -> None:
    """Run, print, write."""
    rows = []
    for name in names or BENCHMARKS:
        for figure, value in _figures(name).items():
            if figure in TARGETS:
                target = TARGETS[figure]
                bound = f"{'>=' if target.at_least else '<='} {target.value:g}"
                row = {"name": figure, "value": round(value, 3), "unit": target.unit, "target": bound}
                met = target.met(value)
                rows.append({**row, "met": met})
                verdict = "met" if met else "MISSED"
                print(f"{figure:28} {value:10.3f} {target.unit:14} target {bound:8} {verdict}")
            else:
                rows.append({"name": figure, "value": round(value, 3), "unit": "", "target": "", "met": None})
                print(f"{figure:28} {value:10.3f}")
    results = HERE / "results.json"
    known = (
        {row["name"]: row for row in json.loads(results.read_text(encoding="utf-8"))}
        if names and results.exists()
        else {}
    )
    merged = {**known, **{row["name"]: row for row in rows}}
    results.write_text(json.dumps(list(merged.values()), indent=2) + "\n", encoding="utf-8")
    _write_page(list(merged.values()))


def _figures(name: str) -> dict[str, float]:
    """Measured in a process of its own: what one benchmark holds in memory would count in the next one's peak."""
    code = f"import json; from benchmarks.{name} import measure; print(json.dumps(measure()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _write_page(rows: list[dict[str, Any]]) -> None:
    """The table for people, in place of the one before."""
    page = HERE / "README.md"
    head = page.read_text(encoding="utf-8").split(MARK)[0]
    cells = ""
    for row in rows:
        verdict = {True: "met", False: "**missed**", None: ""}[row["met"]]
        cells += f"| {row['name']} | {row['value']:g} {row['unit']} | {row['target']} | {verdict} |\n"
    machine = f"Measured on {_machine()}."
    page.write_text(
        f"{head}{MARK}\n| figure | measured | target | |\n|---|---|---|---|\n{cells}\n{machine}\n", encoding="utf-8"
    )


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, Python {platform.python_version()}"


if __name__ == "__main__":
    main(sys.argv[1:])
