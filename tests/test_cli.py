"""The command's start: what it sets before anything large is imported."""

import os
import subprocess
import sys

CODE = """
import os, sys
from pairwright.cli import MEMORY
print(*(os.environ[name] for name in MEMORY), *sorted({"polars", "pyarrow"} & set(sys.modules)), sep="|")
"""


def test_allocators_are_set_before_they_are_loaded_and_as_the_user_says() -> None:
    """Both read the environment once, when their libraries are loaded."""
    bare = {name: value for name, value in os.environ.items() if "MALLOC" not in name and "ARROW" not in name}
    assert _started(bare) == "dirty_decay_ms:1000,muzzy_decay_ms:-1|system"
    assert _started(bare | {"_RJEM_MALLOC_CONF": "dirty_decay_ms:0"}) == "dirty_decay_ms:0|system"


def _started(environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()
