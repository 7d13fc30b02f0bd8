"""Starting the UI: Dagster's web server behind a guard, its daemon, and the process that holds the recipes' code."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import uvicorn
import yaml
from dagster import DagsterInstance, __version__
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._cli.utils import get_instance_for_cli
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget, PythonFileTarget, WorkspaceFileTarget, WorkspaceLoadTarget
from dagster._utils.log import configure_loggers
from dagster_shared.ipc import get_ipc_shutdown_pipe, send_ipc_shutdown_message
from dagster_shared.serdes import serialize_value
from dagster_webserver.app import create_app_from_workspace_process_context

from pairwright.pipelines.guard import Guard
from pairwright.schemas.errors import PairwrightError

HOST = "127.0.0.1"
"""The web server has no login of its own: it is for this machine alone."""
MODULE = "pairwright.pipelines.definitions"
POLL_MILLISECONDS = 2_000
"""How often a page asks for news of the assets that it shows."""
PATIENCE = 60.0
"""Seconds that the daemon may take to end."""
GRACE = 5
"""Seconds that answers under way may take once the server is to end."""


def serve(port: int, read_only: bool = False, definitions: Path | None = None) -> None:
    """Run Dagster's web server, and the daemon that runs schedules and queued runs, until Ctrl-C or SIGTERM.

    `read_only` is for looking: nothing can be started, and no daemon is. `definitions` is a user's Python file that is
    loaded instead of the recipes alone. Raises PairwrightError when the port is taken or the daemon ends by itself.
    """
    try:
        listener = socket.create_server((HOST, port))
    except OSError:
        raise PairwrightError(f"port {port} is in use; choose another with --port") from None
    sys.stderr.write(f"opening http://{HOST}:{port} (Ctrl-C stops it)\n")
    sys.stderr.flush()
    os.environ["DAGSTER_IS_DEV_CLI"] = "1"  # errors of the code without Dagster's own frames, as in `dagster dev`
    configure_loggers(log_level="WARNING")
    with (
        listener,
        contextlib.suppress(KeyboardInterrupt),
        _terms_as_interrupts(),
        get_instance_for_cli() as instance,
        _code_server(instance, definitions) as workspace,
    ):
        _serve(listener, instance, workspace, read_only)


def _serve(listener: socket.socket, instance: DagsterInstance, workspace: Path, read_only: bool) -> None:
    with contextlib.ExitStack() as stack:
        daemon = None if read_only else stack.enter_context(_daemon(instance, workspace))
        context = stack.enter_context(
            WorkspaceProcessContext(
                instance,
                version=__version__,
                read_only=read_only,
                workspace_load_target=WorkspaceFileTarget([str(workspace)]),
                code_server_log_level="warning",
            )
        )
        app = create_app_from_workspace_process_context(context, live_data_poll_rate=POLL_MILLISECONDS)
        config = uvicorn.Config(
            Guard(app, listener.getsockname()[1]),
            log_level="warning",
            lifespan="off",
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE,
        )
        server = uvicorn.Server(config)
        if daemon is not None:
            daemon.when_it_ends(server)
        server.run(sockets=[listener])
        if daemon is not None and not daemon.is_up:
            raise PairwrightError(f"Dagster's daemon ended with code {daemon.process.returncode}; its log is above")


@contextlib.contextmanager
def _terms_as_interrupts() -> Iterator[None]:
    """Take SIGTERM, and a terminal that is closed, as Ctrl-C, so that what was started is ended."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _code_server(instance: DagsterInstance, definitions: Path | None) -> Iterator[Path]:
    """One process with the recipes' code for web server and daemon, reloaded from the UI; a workspace file names it."""
    target: WorkspaceLoadTarget = ModuleTarget(MODULE, attribute=None, working_directory=None, location_name=None)
    if definitions is not None:
        file = str(definitions.resolve())
        target = PythonFileTarget(
            file, attribute=None, working_directory=str(definitions.resolve().parent), location_name=None
        )
    with (
        ProxyServerManager(instance, target, code_server_log_level="warning") as servers,
        tempfile.TemporaryDirectory() as folder,
    ):
        workspace = Path(folder) / "workspace.yaml"
        specs: list[Any] = list(servers.get_code_server_specs())
        workspace.write_text(yaml.safe_dump({"load_from": specs}), encoding="utf-8")
        yield workspace


class _Daemon(NamedTuple):
    """The daemon's process."""

    process: subprocess.Popen[bytes]

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def when_it_ends(self, server: uvicorn.Server) -> None:
        """Have the web server end with it: without it queued runs would wait for ever."""

        def watch() -> None:
            self.process.wait()
            server.should_exit = True

        threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _daemon(instance: DagsterInstance, workspace: Path) -> Iterator[_Daemon]:
    """Start the daemon and end it, by the pipe that it listens to for that."""
    read, write = get_ipc_shutdown_pipe()
    options = {
        "--log-level": "warning",
        "--code-server-log-level": "warning",
        "--shutdown-pipe": str(read),
        "--instance-ref": serialize_value(instance.get_ref()),
        "--workspace": str(workspace),
    }
    command = [sys.executable, "-m", "dagster._daemon", "run", *(part for option in options.items() for part in option)]
    process = subprocess.Popen(command, pass_fds=[read])  # noqa: S603 - our own arguments
    os.close(read)
    try:
        yield _Daemon(process)
    finally:
        with contextlib.suppress(OSError):  # it may have ended by itself
            send_ipc_shutdown_message(write)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            logging.getLogger("pairwright").warning("the daemon did not end in %g seconds and is killed", PATIENCE)
            process.kill()
            process.wait()
