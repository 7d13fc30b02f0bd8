"""Starting the UI."""

import os
import socket
import sys

from pairwright.schemas.errors import PairwrightError

HOST = "127.0.0.1"
"""The web server has no login of its own and runs what any page asks of it: it is for this machine alone."""


def serve(port: int) -> None:
    """Replace this process by Dagster's web server and daemon, which run schedules, on a local port.

    Raises PairwrightError when the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise PairwrightError(f"port {port} is in use; choose another with --port") from None
    sys.stderr.write(f"opening http://{HOST}:{port} (Ctrl-C stops it)\n")
    sys.stderr.flush()
    module = "pairwright.pipelines.definitions"
    command = [sys.executable, "-m", "dagster", "dev", "-m", module, "-h", HOST, "-p", str(port)]
    os.execv(sys.executable, [*command, "--log-level", "warning"])  # noqa: S606 - our own arguments
