"""Dagster's history is made ready once, whoever comes first."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

CODE = (
    "import sys; from pathlib import Path; from pairwright.pipelines.instance import use_home\n"
    "use_home(Path(sys.argv[1]))"
)


def test_processes_that_begin_together_leave_a_history_that_works(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    env.pop("DAGSTER_HOME", None)
    both = [subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path)], env=env) for _ in range(2)]
    assert [one.wait(timeout=120) for one in both] == [0, 0]
    found = sorted((tmp_path / ".dagster").rglob("*.db"), key=lambda path: path.name)
    assert [path.name for path in found] == ["index.db", "runs.db", "schedules.db"]
    for path in found:
        with sqlite3.connect(path) as database:
            assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
