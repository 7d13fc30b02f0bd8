"""Jinja in a sandbox. Run as a script, it is the process that templates of one's own are rendered in.

The sandbox keeps a template from Python; that it ends, in time and in memory, only the system can see to. So the
process has limits of both, a template that passes them ends it at worst, and whoever asked goes on. It imports nothing
of ours, so that it starts at once.
"""

import json
import resource
import signal
import sys
from collections import namedtuple
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 1
"""Of computing, for one prompt."""
TOO_LONG = "it computes for more than a second"
MEMORY = 1 << 30
"""Bytes of address space of the process."""
LONGEST = 4_000_000
"""Characters of a prompt: more than any model reads."""
FOREIGN = {nodes.Include: "include", nodes.Import: "import", nodes.FromImport: "import", nodes.Extends: "extends"}
"""Tags that would read other files, of which a fingerprint says nothing."""


class FaultError(Exception):
    """Why a template gives no prompt, and the line of the template, where that is known."""

    def __init__(self, line: int | None, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


@lru_cache(maxsize=64)
def compiled(source: str) -> Template:
    """A template. Raises FaultError."""
    # Autoescape is off: the text goes to a model, not into a page. The sandbox keeps a template from reaching Python;
    # what is judged is only ever a value, so Jinja syntax in it stays text.
    environment = ImmutableSandboxedEnvironment(
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.intercepted_binops = frozenset(environment.binop_table)  # computed while compiling, it has no line
    try:
        for node in environment.parse(source).find_all(tuple(FOREIGN)):
            raise FaultError(node.lineno, f"{FOREIGN[type(node)]} is not allowed: a template is one file")
        return environment.from_string(source)
    except TemplateSyntaxError as error:
        raise FaultError(error.lineno, error.message or "a syntax error") from None
    except (RecursionError, SyntaxError, MemoryError) as error:
        raise FaultError(None, f"nested too deeply ({type(error).__name__})") from None


def rendered(source: str, values: dict[str, Any]) -> str:
    """The text of a template with these values. Raises FaultError."""
    parts, size = [], 0
    template = compiled(source)
    try:
        for part in template.generate(values):
            size += len(part)
            if size > LONGEST:
                raise OverflowError(f"the prompt has more than {LONGEST:,} characters")
            parts.append(part)
    except Exception as error:  # a template can raise whatever Python can
        raise FaultError(_line(error), _said(error)) from None
    return "".join(parts)


def _line(error: BaseException) -> int | None:
    """The line of the template that an error came from."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _said(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it takes too much memory"
    return " ".join(str(error).split())[:300] or type(error).__name__


def encoded(value: Any) -> Any:
    """A value as JSON. Raises TypeError for what is no text, number, list, mapping, NamedTuple or pydantic model."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"tuple": [type(value).__name__, list(value._fields), [encoded(one) for one in value]]}
    if isinstance(value, list | tuple):
        return [encoded(one) for one in value]
    if isinstance(value, dict):
        return {"dict": {str(key): encoded(one) for key, one in value.items()}}
    if hasattr(type(value), "model_fields"):
        return {"model": {name: encoded(getattr(value, name)) for name in type(value).model_fields}}
    raise TypeError(f"a template cannot be handed a {type(value).__name__}")


def decoded(value: Any) -> Any:
    """The value that was encoded."""
    if isinstance(value, list):
        return [decoded(one) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        name, fields, members = content
        return namedtuple(name, fields, module="builtins")(*map(decoded, members))
    inside = {name: decoded(one) for name, one in content.items()}
    return SimpleNamespace(**inside) if kind == "model" else inside


def _too_long(*_: object) -> None:
    raise TimeoutError(TOO_LONG)


def serve() -> None:
    """Answer a line of JSON with a line of JSON, until there are no more."""
    signal.signal(signal.SIGPROF, _too_long)  # counts computing only: a busy machine makes no template fail
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, most))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + SECONDS + 1  # what holds Python up, no signal ends
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        try:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                answer: dict[str, Any] = {"text": rendered(asked["source"], decoded(asked["values"]))}
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        except FaultError as fault:
            answer = {"line": fault.line, "what": fault.what}
        except (TimeoutError, MemoryError) as error:
            answer = {"line": None, "what": _said(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
