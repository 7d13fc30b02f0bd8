"""A small release folder made by hand, with what formats find hard: ties, turns, system prompts, hostile text."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from pairwright.assets.releasing.versions import Release
from pairwright.assets.storage.split_writer import SplitWriter

HOSTILE = [
    "<script>alert('x')</script><img src=x onerror=alert(1)>",
    "a | b | c\n\n```\ncode\n``` `tick` ](javascript:alert(1)) [x](javascript:alert(2))",
    "bidi \u202e evil \u2066 more, null \u0000 bell \u0007, sep \u2028 end, emoji 👩‍🚀, 漢字",
    '{"json": "in text", "quote": "\\" \\\\ \\u0000"}',
    "x" * 1_000_000,
]
EVIL = [*HOSTILE, "</script><script>alert(3)</script>", "<svg onload=alert(4)>", "'\"><iframe src=http://127.0.0.1:9/>"]
"""What must do nothing wherever it is shown."""
SYSTEM = {"role": "system", "content": "Be brief."}


def evil_rows() -> list[dict[str, Any]]:
    """Rows of a source in which prompts, responses, names of policies and domains are hostile."""
    return [
        {
            "prompt": f"{i} {text}",
            "responses": [f"{text} {j}" + "!" * j for j in range(3)],
            "policies": [EVIL[0], EVIL[1], f"p{i}"],
            "domain": text[:200],
        }
        for i, text in enumerate(EVIL)
    ]


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _pair(i: int, prompt: list[dict[str, str]], chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    return {
        "pair_id": f"{i:024x}",
        "prompt_id": f"{i // 10:024x}",
        "prompt": prompt,
        "chosen": [turn("assistant", chosen)],
        "rejected": [turn("assistant", rejected)],
        "chosen_id": f"{1000 + i:024x}",
        "rejected_id": f"{2000 + i:024x}",
        "score_chosen": 1.0 + i / 100,
        "score_rejected": -0.125 * i,
        "margin": 1.0 + i / 100 + 0.125 * i,
        "chosen_policies": ["good", "fine"],
        "rejected_policies": ["bad"],
        "source": "made by hand",
        "domain": "test",
        "split": "test" if i % 50 == 10 else "train",
        **more,
    }


def pairs() -> list[dict[str, Any]]:
    """Single turns, a system prompt, several turns, tool turns, and three pairs of one prompt with shared responses."""
    rows = [
        _pair(10 * (i + 1), [turn("user", f"question {i}: {text}")], text, f"worse {i}")
        for i, text in enumerate(HOSTILE)
    ]
    talk = [turn("user", "one"), turn("assistant", "two"), turn("user", "three")]
    rows += [
        _pair(60, [SYSTEM, turn("user", "with a system prompt")], "yes", "no"),
        _pair(70, [SYSTEM, *talk], "four", "five"),
        _pair(80, [*talk[:2], turn("tool", "42")], "it is 42", "no idea"),
        _pair(90, [turn("user", "a"), turn("user", "b")], "ab", "ba"),
    ]
    best, middle, worst = "f" * 24, "e" * 24, "d" * 24
    several = [turn("user", "ranked")]
    rows += [
        _pair(100, several, "best", "middle", chosen_id=best, rejected_id=middle),
        _pair(101, several, "best", "worst", chosen_id=best, rejected_id=worst),
        _pair(102, several, "middle", "worst", chosen_id=middle, rejected_id=worst),
    ]
    return rows


def rankings(**more: Any) -> list[dict[str, Any]]:
    """Ranked lists; `more` are further columns: a function of the texts each."""

    def row(
        i: int, prompt: list[dict[str, str]], texts: list[str], scores: list[float], ranks: list[int]
    ) -> dict[str, Any]:
        return {
            "prompt_id": f"{i:024x}",
            "prompt": prompt,
            "responses": [[turn("assistant", text)] for text in texts],
            "scores": scores,
            "ranks": ranks,
            "soft_targets": [1 / len(texts)] * len(texts),
            "policies": [["p", "q"]] * len(texts),
            "domain": "test",
            "split": "train",
            **{name: column(texts) for name, column in more.items()},
        }

    return [
        row(1, [turn("user", "three")], ["a", "b", "c"], [2.0, 1.0, 0.5], [1, 2, 3]),
        row(2, [turn("user", "tied best")], ["a", "b", "c"], [2.0, 2.0, 0.5], [1, 1, 3]),
        row(3, [turn("user", "all tied")], HOSTILE[:2], [2.0, 2.0], [1, 1]),
        row(4, [SYSTEM, turn("user", "system")], ["a", "b"], [2.0, 1.0], [1, 2]),
    ]


def make(
    folder: Path,
    rows: list[dict[str, Any]] | None = None,
    lists: list[dict[str, Any]] | None = None,
    overrides: dict[str, Any] | None = None,
) -> Release:
    """Write it; `rows` replaces the pairs, `lists` the rankings; `overrides` are types of the pairs' columns."""
    for name, table in (("pairs", rows or pairs()), ("rankings", lists or rankings())):
        types = {"ranks": pl.List(pl.UInt32)} if name == "rankings" else overrides or {}
        with SplitWriter(folder / name) as writer:
            writer.add(pl.DataFrame(table, schema_overrides=types))
    manifest = {"dataset": "hand", "version": "v1", "digest": "0123456789abcdef"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Release("v1", folder, manifest)
