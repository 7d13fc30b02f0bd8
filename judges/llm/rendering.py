"""Rendering templates of one's own in a process apart, which is started when it is first needed and kept."""

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

from pairwright.judges.llm import sandbox
from pairwright.judges.llm.sandbox import TOO_LONG, FaultError, encoded
from pairwright.schemas.errors import RecipeError

PATIENCE = 60.0
"""Seconds that the process may be silent: much more than its limit of computing, for machines that are busy."""
KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "HOME", "LANG", "LC_ALL", "SYSTEMROOT")
"""What the process is told of the environment: no key."""


class _Process:
    """A running sandbox."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-P", sandbox.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
        )
        self._answer()

    @property
    def usable(self) -> bool:
        """Whether it runs, and is this process' own: a fork must not share its pipes."""
        return self.owner == os.getpid() and self.process.poll() is None

    def ask(self, source: str, values: dict[str, Any]) -> dict[str, Any]:
        """Its answer. Raises FaultError when it has ended instead."""
        assert self.process.stdin is not None
        line = json.dumps({"source": source, "values": {"dict": values}}) + "\n"
        with contextlib.suppress(BrokenPipeError):  # told by what it ended with
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        pipe, deadline, parts = self.process.stdout.fileno(), time.monotonic() + PATIENCE, [b""]
        while not parts[-1].endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(pipe, 1 << 20) if ready else b""
            if not part:
                raise FaultError(None, self.end())
            parts.append(part)
        return dict(json.loads(b"".join(parts)))

    def end(self) -> str:
        """End it; says why it had to be."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2)
        ended = self.process.poll()
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        if ended in (None, -signal.SIGXCPU, -signal.SIGKILL):
            return TOO_LONG
        return "it takes too much memory, or is nested too deeply"


_LOCK = threading.Lock()
_RUNNING: list[_Process] = []
_SLOW: Counter[str] = Counter()
MOST_SLOW = 8
"""Prompts that a template may take too long for, before it is given up."""


def render_apart(source: str, values: dict[str, Any]) -> str:
    """The text of a template with these values.

    Raises FaultError where the template fails or takes too much, and RecipeError where it has done so too often.
    """
    if _SLOW[source] >= MOST_SLOW:
        raise RecipeError(f"the template was too slow for {MOST_SLOW} prompts ({TOO_LONG}, each time); mend it")
    handed = {name: encoded(value) for name, value in values.items()}
    with _LOCK:
        if not (_RUNNING and _RUNNING[-1].usable):
            _RUNNING[:] = [_Process()]
        try:
            answer = _RUNNING[-1].ask(source, handed)
        except FaultError as fault:
            answer = {"line": fault.line, "what": fault.what}
    if "text" in answer:
        return str(answer["text"])
    _SLOW[source] += answer["what"] == TOO_LONG
    raise FaultError(answer["line"], answer["what"])


@atexit.register
def _end() -> None:
    for one in _RUNNING:
        if one.usable:
            one.process.kill()
            one.process.wait()
