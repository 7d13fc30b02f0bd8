"""`pairwright ui` as it is started: what other pages send it is refused and does nothing, its own pages work, and the
signal that ends it ends all that it started."""

import contextlib
import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from browser import chromium
from helpers import wide, write_jsonl

from pairwright.pipelines.serve import serve
from pairwright.schemas.errors import PairwrightError

LOCATION = "pairwright.pipelines.definitions"
REPOSITORY = f'repositoryName: "__repository__", repositoryLocationName: "{LOCATION}"'
ATTACK = f'mutation {{ startSensor(sensorSelector: {{{REPOSITORY}, sensorName: "tiny_sources"}}) {{ __typename }} }}'
"""What an attack would have done: it switches on what starts runs."""
SENSORS = f"""{{ sensorsOrError(repositorySelector: {{{REPOSITORY}}}) {{
    ... on Sensors {{ results {{ name sensorState {{ id status }} }} }} }} }}"""
JSON = {"Content-Type": "application/json"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "graphql-ws",
}


class Ui(NamedTuple):
    """A running UI."""

    port: int
    folder: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def send(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> tuple[int, str]:
        """Status and text of the answer to a request with just these headers, beside a Host where none is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body.encode())))
            connection.endheaders(None if body is None else body.encode())
            answer = connection.getresponse()
            return answer.status, "" if answer.status == 101 else answer.read().decode()

    def ask(self, query: str) -> Any:
        """What GraphQL answers to a program of this machine."""
        status, text = self.send("POST", "/graphql", JSON, json.dumps({"query": query}))
        assert status == 200, text
        return json.loads(text)["data"]

    def sensors(self) -> dict[str, str]:
        """Status of each sensor."""
        return {one["name"]: one["sensorState"]["status"] for one in self.ask(SENSORS)["sensorsOrError"]["results"]}

    def stop(self) -> None:
        """Switch the sensor off again."""
        [state] = [one["sensorState"] for one in self.ask(SENSORS)["sensorsOrError"]["results"]]
        self.ask(f'mutation {{ stopSensor(id: "{state["id"]}") {{ __typename }} }}')


def recipe(folder: Path, name: str) -> None:
    content = {"dataset": name, "prompts": {"source": "../rows.jsonl"}, "shards": 1, "judges": [{"kind": "length"}]}
    (folder / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def is_up(ui: Ui) -> bool:
    try:
        return ui.send("GET", "/server_info", {})[0] == 200
    except (OSError, http.client.HTTPException):
        return False


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Ui]:
    """`pairwright ui` in a folder; checks that SIGTERM ends it and all that it started."""
    write_jsonl(folder / "rows.jsonl", wide(2))
    (folder / "recipes").mkdir()
    recipe(folder, "tiny")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ui = Ui(free.getsockname()[1], folder)
    command = [sys.executable, "-m", "pairwright", "ui", "recipes", "--port", str(ui.port), "--data", "data", *options]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not is_up(ui):
            assert server.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.2)
        yield ui
        server.terminate()
        assert server.wait(timeout=60) == 0, (folder / "log").read_text()
        until_gone(server.pid)
        assert "Traceback" not in (folder / "log").read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    with running(tmp_path_factory.mktemp("ui")) as ui:
        yield ui


def until_gone(group: int) -> None:
    """Daemon and code server are gone with it."""
    end = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(group, 0)
            time.sleep(0.1)


def attacks(ui: Ui) -> dict[str, tuple[str, str, dict[str, str], str | None]]:
    """Method, path, headers and body of what another page, or a name that was pointed here, can have a browser send."""
    asked, query = json.dumps({"query": ATTACK}), urllib.parse.quote(ATTACK)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return {
        "another origin": ("POST", "/graphql", {**JSON, "Origin": "http://example.org"}, asked),
        "another port": ("POST", "/graphql", {**JSON, "Origin": "http://127.0.0.1:1"}, asked),
        "https": ("POST", "/graphql", {**JSON, "Origin": f"https://{ui.host}"}, asked),
        "a sandboxed page": ("POST", "/graphql", {**JSON, "Origin": "null"}, asked),
        "a rebound name": ("POST", "/graphql", {**JSON, "Host": f"evil.example:{ui.port}"}, asked),
        "a rebound name with its origin": (
            "POST",
            "/graphql",
            {**JSON, "Host": f"evil.example:{ui.port}", "Origin": f"http://evil.example:{ui.port}"},
            asked,
        ),
        "a name that begins well": ("POST", "/graphql", {**JSON, "Host": f"127.0.0.1.evil.example:{ui.port}"}, asked),
        "no port": ("POST", "/graphql", {**JSON, "Host": "127.0.0.1"}, asked),
        "an image": ("GET", f"/graphql?query={query}", {}, None),
        "an image at an odd path": ("GET", f"/graphql%0A?query={query}", {}, None),
        "a form": ("POST", f"/graphql?query={query}", form, ""),
        "a form of another origin": ("POST", f"/graphql?query={query}", {**form, "Origin": "http://example.org"}, ""),
        "a body of no kind": ("POST", f"/graphql?query={query}", {}, ""),
        "plain text": ("POST", "/graphql", {"Content-Type": "text/plain"}, asked),
        "plain text that names JSON": ("POST", "/graphql", {"Content-Type": "text/plain; application/json"}, asked),
        "GraphQL as it is": ("POST", "/graphql", {"Content-Type": "application/graphql"}, ATTACK),
        "a beacon": ("POST", "/graphql", {**JSON, "Sec-Fetch-Site": "cross-site"}, asked),
        "another port of this machine": ("POST", "/graphql", {**JSON, "Sec-Fetch-Site": "same-site"}, asked),
        "a frame": ("GET", "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, None),
        "a report": ("POST", "/report_asset_materialization/tiny/prompts", {}, None),
        "a websocket": ("GET", "/graphql", {**UPGRADE, "Origin": "http://example.org"}, None),
        "a websocket to a rebound name": ("GET", "/graphql", {**UPGRADE, "Host": "evil.example"}, None),
    }


def test_what_other_pages_send_is_refused_and_does_nothing(ui: Ui) -> None:
    let_through = {}
    for name, attack in attacks(ui).items():
        status, text = ui.send(*attack)
        if status != 403:
            let_through[name] = (status, text[:80])
        if ui.sensors() != {"tiny_sources": "STOPPED"}:
            let_through[name] = (status, "executed")
            ui.stop()
    assert let_through == {}


def test_its_own_pages_and_programs_of_this_machine_are_served(ui: Ui) -> None:
    for host in (ui.host, f"localhost:{ui.port}", f"LOCALHOST:{ui.port}"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        status, text = ui.send("POST", "/graphql", {**JSON, **headers}, json.dumps({"query": ATTACK}))
        assert (status, ui.sensors()) == (200, {"tiny_sources": "RUNNING"}), text
        ui.stop()
        assert ui.send("GET", "/graphql", {**UPGRADE, **headers})[0] == 101
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ui.send("GET", "/runs", link)[0] == 200
    editor = ui.send("GET", "/graphql?query=%7Bversion%7D", {"Accept": "text/html"})
    assert editor[0] == 200 and "<html" in editor[1]


class Page(http.server.BaseHTTPRequestHandler):
    """A page of another origin that tries what it can."""

    target = ""

    def do_GET(self) -> None:
        body = ATTACKER.replace("TARGET", self.target).replace("QUERY", json.dumps(ATTACK)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


ATTACKER = """<body><iframe name="inside"></iframe><iframe src="http://TARGET/"></iframe><script>
const address = "http://TARGET/graphql", query = QUERY, coded = address + "?query=" + encodeURIComponent(query);
const body = JSON.stringify({query}), soon = promise => Promise.race([promise, new Promise(r => setTimeout(r, 3000))]);
const form = document.createElement("form");
Object.assign(form, {action: coded, method: "post", target: "inside"});
document.body.append(form);
form.submit();
const image = new Promise(done => { const one = new Image(); one.onload = one.onerror = done; one.src = coded; });
const socket = new Promise(done => {
    const one = new WebSocket("ws://TARGET/graphql", "graphql-ws");
    one.onopen = () => { document.body.dataset.socket = "open"; done(); };
    one.onerror = done;
});
const asked = [
    fetch(address, {method: "POST", mode: "no-cors", body}),
    fetch(address, {method: "POST", body, headers: {"Content-Type": "application/json"}}),
    fetch(coded, {mode: "no-cors"}),
    image, socket,
].map(one => soon(Promise.resolve(one).catch(() => null)));
navigator.sendBeacon(address, body);
Promise.all(asked).then(() => setTimeout(() => { document.title = "tried"; }, 500));
</script>"""


@pytest.mark.slow
def test_in_a_browser_another_origin_does_nothing_and_its_own_page_works(ui: Ui) -> None:
    Page.target = ui.host
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with chromium("--host-resolver-rules=MAP evil.example 127.0.0.1") as browser:
            tab = browser.new_page()
            tab.goto(f"http://localhost:{other.server_port}/")
            tab.wait_for_function("document.title == 'tried'")
            assert tab.evaluate("document.body.dataset.socket") is None
            assert ui.sensors() == {"tiny_sources": "STOPPED"}

            assert tab.goto(f"http://evil.example:{ui.port}/").status == 403
            ask = "async query => (await fetch('/graphql', {method: 'POST', body: JSON.stringify({query}), headers: "
            ask += "{'Content-Type': 'application/json'}})).status"
            assert tab.evaluate(ask, ATTACK) == 403
            assert ui.sensors() == {"tiny_sources": "STOPPED"}

            sockets: list[str] = []
            tab.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sockets.append(frame)))
            tab.goto(f"http://{ui.host}/automation")
            tab.get_by_text("tiny_sources").first.wait_for(timeout=60_000)
            assert tab.evaluate(ask, ATTACK) == 200
            assert ui.sensors() == {"tiny_sources": "RUNNING"}
            assert sockets, "its websocket is open"
            ui.stop()
        other.shutdown()


@pytest.mark.slow
def test_recipes_are_read_again_when_the_ui_asks_for_it(ui: Ui) -> None:
    assert set(ui.sensors()) == {"tiny_sources"}
    recipe(ui.folder, "later")
    reload = f'mutation {{ reloadRepositoryLocation(repositoryLocationName: "{LOCATION}") {{ __typename }} }}'
    assert ui.ask(reload) == {"reloadRepositoryLocation": {"__typename": "WorkspaceLocationEntry"}}
    assert set(ui.sensors()) == {"tiny_sources", "later_sources"}


def test_a_port_in_use_is_told(ui: Ui) -> None:
    with pytest.raises(PairwrightError, match=f"port {ui.port} is in use; choose another with --port"):
        serve(ui.port)


@pytest.mark.slow
def test_a_ui_for_looking_starts_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "--read-only") as ui:
        assert ui.ask(ATTACK)["startSensor"]["__typename"] == "UnauthorizedError"
        assert ui.sensors() == {"tiny_sources": "STOPPED"}
        daemons = ui.ask("{ instance { daemonHealth { allDaemonStatuses { lastHeartbeatTime } } } }")["instance"]
        assert {one["lastHeartbeatTime"] for one in daemons["daemonHealth"]["allDaemonStatuses"]} == {None}
