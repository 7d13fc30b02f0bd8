"""A server that echoes log-probabilities gives what the model gives in this process; one that lies is found out."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import polars as pl
import pytest
from tiny_models import oracle, read_all, tiny, work

from pairwright.models.local.engine import read
from pairwright.models.local.open_backend import load
from pairwright.models.local.request import PassRequest
from pairwright.schemas.errors import JudgeError

BATCH = work({"How can I bake a loaf?": ["Warm the oven.", "", "No."], "Hi": ["Hello there."]})

LONG = 60
"""Tokens beyond which some manners have no numbers: a text of a test has more, the probe fewer."""


class Echo(BaseHTTPRequestHandler):
    """Completions with echo; `server.manner` says how honestly."""

    def do_GET(self) -> None:
        """The list of models, as vLLM gives it."""
        self.server.sent.append(self.headers.get("authorization"))  # type: ignore[attr-defined]
        served = {"id": "served", "object": "model", "max_model_len": 512}
        self._answer({"object": "list", "data": [{"id": "other", "max_model_len": 9}, served]})

    def do_POST(self) -> None:
        self.server.sent.append(self.headers.get("authorization"))  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        ids = body["prompt"]
        if len(ids) + body["max_tokens"] > 512:
            self.send_error(400, "the prompt and one more token are beyond the maximum context length")
            return
        scores: list[Any] = [None, *oracle(ids, 1)[0].tolist()]
        manner = self.server.manner  # type: ignore[attr-defined]
        if manner == "gone" or (manner == "refuses some" and len(ids) > LONG):
            self.send_error(404 if manner == "gone" else 400, "no numbers for this")
            return
        if manner == "has holes" and len(ids) > LONG:
            scores[3] = None
        if manner == "shifted":
            scores = [*scores[1:], -1.0]
        choice = {"index": 0, "text": "", "finish_reason": "length"}
        choice["logprobs"] = None if manner == "silent" else {"token_logprobs": [*scores, -1.0], "tokens": []}
        answer = {"id": "x", "object": "text_completion", "created": 0, "model": "m", "choices": [choice]}
        odd = len(ids) > LONG and manner.startswith("{")
        self._answer(json.loads(manner) if odd else answer)

    def _answer(self, found: Any) -> None:
        answer = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *parts: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as one:
        one.manner, one.sent = "honest", []  # type: ignore[attr-defined]
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one
        one.shutdown()


def served(server: ThreadingHTTPServer) -> Any:
    return tiny(base_url=f"http://127.0.0.1:{server.server_port}/v1", max_tokens=512)


def test_server_is_in_process(server: ThreadingHTTPServer):
    wanted = {"wants": frozenset({"tokens"}), "follow_ups": ("Thank you.", "No, that is wrong.")}
    need = PassRequest(served(server), **wanted)
    far = pl.concat(read(BATCH, need, load(need.model)))
    near = read_all(BATCH, PassRequest(tiny(), **wanted))
    for column in ("token_ids", "tokens", "prompt_tokens", "truncated", "response_id"):
        assert far[column].equals(near[column])
    for column in ("logprob", "end_logprob"):
        assert far[column].to_list() == pytest.approx(near[column].to_list(), rel=1e-4, abs=1e-4)
    said = [frame["follow_ups"].explode().struct.field("logprob").to_list() for frame in (far, near)]
    assert said[0] == pytest.approx(said[1], rel=1e-4)


@pytest.mark.parametrize(("manner", "message"), [("silent", "does not echo"), ("shifted", "at the wrong tokens")])
def test_a_server_that_lies_is_found_out(server: ThreadingHTTPServer, manner: str, message: str):
    server.manner = manner  # type: ignore[attr-defined]
    with pytest.raises(JudgeError, match=message):
        load(served(server))


@pytest.mark.parametrize(
    ("manner", "reason"), [("refuses some", "failed (status 400: "), ("has holes", "does not echo")]
)
def test_a_text_without_numbers_is_a_failure_of_its_own_that_is_asked_again(
    server: ThreadingHTTPServer, manner: str, reason: str
):
    batch = work({"How can I bake a loaf?": ["Warm the oven. " * 12, "No."]})
    need = PassRequest(served(server))
    backend = load(need.model)
    server.manner = manner  # type: ignore[attr-defined]
    (rows,) = read(batch, need, backend)
    failed, fine = rows.filter("retry"), rows.filter(~pl.col("retry"))
    assert failed["failure"].str.contains(reason, literal=True).to_list() == [True]
    assert failed["logprob"].to_list() == [None]
    assert fine["logprob"].to_list() == pytest.approx(
        read_all(batch, PassRequest(tiny())).join(fine, on="response_id", how="semi")["logprob"].to_list(), rel=1e-4
    )


def test_a_server_that_goes_away_ends_the_build(server: ThreadingHTTPServer):
    need = PassRequest(served(server))
    backend = load(need.model)
    server.manner = "gone"  # type: ignore[attr-defined]
    with pytest.raises(JudgeError, match="failed \\(status 404: "):
        list(read(BATCH, need, backend))


def test_a_prompt_that_fills_the_servers_context_is_cut_to_leave_room_for_its_one_token(server: ThreadingHTTPServer):
    need = PassRequest(served(server))
    (rows,) = read(work({"Say it. " * 300: ["Now."]}), need, load(need.model))
    assert rows["failure"][0] is None and rows["truncated"][0]
    assert rows["prompt_tokens"][0] + rows["tokens"][0] + 1 == 511


def test_a_server_that_is_not_there_is_one_line():
    model = tiny(base_url="http://127.0.0.1:9/v1", max_tokens=512)
    with pytest.raises(JudgeError, match=r"127\.0\.0\.1:9/v1 failed") as error:
        load(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"choices": []}',
        '{"choices": [null]}',
        '{"choices": [{"logprobs": 3}]}',
        '{"choices": [{"logprobs": {"token_logprobs": ["a", true]}}]}',
        json.dumps({"choices": [{"logprobs": {"token_logprobs": [None, 1000.0, *[-1.0] * 500]}}]}),
        json.dumps({"choices": [{"logprobs": {"token_logprobs": [None, True, *[-1.0] * 500]}}]}),
        json.dumps({"choices": [{"logprobs": {"token_logprobs": [None, "x", *[-1.0] * 500]}}]}),
    ],
)
def test_odd_numbers_are_a_failure_of_the_text(server: ThreadingHTTPServer, body: str):
    need = PassRequest(served(server))
    backend = load(need.model)
    server.manner = body  # type: ignore[attr-defined]
    (rows,) = read(work({"How can I bake a loaf?": ["Warm the oven. " * 12, "No."]}), need, backend)
    assert rows["failure"].drop_nulls().str.contains("does not echo the prompt's log-probabilities").to_list() == [True]


def test_a_key_goes_only_where_the_entry_names_it(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "NAMED_KEY"):
        monkeypatch.setenv(name, f"sk-{name}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer sk-OPENAI_API_KEY")
    load(served(server))
    assert set(server.sent) == {"Bearer none"}  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{server.server_port}/v1"
    named = tiny(base_url=url, max_tokens=512, api_key_env="NAMED_KEY")
    load(named)
    assert set(server.sent) == {"Bearer none", "Bearer sk-NAMED_KEY"}  # type: ignore[attr-defined]
    assert named.content() == served(server).content(), "whose key it is changes no answer"


def test_the_limit_that_a_server_tells_is_passed_on(server: ThreadingHTTPServer):
    url = f"http://127.0.0.1:{server.server_port}/v1"
    with pytest.raises(JudgeError, match="the server's limit is 512, so set max_tokens: 512"):
        load(tiny(base_url=url, served_as="served"))
    with pytest.raises(JudgeError, match="does not tell its limit; set max_tokens"):
        load(tiny(base_url=url, served_as="unheard of"))
