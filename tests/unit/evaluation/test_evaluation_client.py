"""The client against a small server that fails on demand."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from common.processes import free_port
from evaluation.client import ClientError, Settings, complete_many, served_model

pytestmark = pytest.mark.unit

FAST = Settings(pause_seconds=0.001, attempts=3, concurrency=4)


class Handler(BaseHTTPRequestHandler):
    """Answers "echo: …"; a prompt "fail N STATUS" fails N times first; "garbage" is no completion."""

    seen: Counter[str]
    models: list[str]
    bodies: list[dict[str, object]]

    def do_GET(self) -> None:
        self._send(200, {"data": [{"id": name} for name in self.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.bodies.append(body)
        prompt = body["messages"][-1]["content"]
        self.seen[prompt] += 1
        if prompt.startswith("fail"):
            _, times, status = prompt.split()
            if self.seen[prompt] <= int(times):
                self._send(int(status), {"error": {"message": "on demand"}})
                return
        content = {"choices": [{"message": {"content": f"echo: {prompt}"}}]}
        self._send(200, {} if prompt == "garbage" else content)

    def _send(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keep the test output clean."""


@contextmanager
def server(models: list[str]) -> Iterator[tuple[str, type[Handler]]]:
    handler = type("Seen", (Handler,), {"seen": Counter(), "models": models, "bodies": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}", handler
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def test_answers_come_in_order_and_greedy() -> None:
    answered: dict[int, str] = {}
    with server(["m"]) as (url, handler):
        inputs = [f"p{i}" for i in range(20)]
        answers = complete_many(url, "m", inputs, settings=FAST, on_answer=answered.__setitem__)
    assert answers == [f"echo: p{i}" for i in range(20)]
    assert answered == dict(enumerate(answers))
    assert {body["temperature"] for body in handler.bodies} == {0.0}
    assert {body["max_tokens"] for body in handler.bodies} == {128}


def test_busy_servers_are_asked_again_but_not_for_ever() -> None:
    with server(["m"]) as (url, handler):
        assert complete_many(f"{url}/v1/", "m", ["fail 2 503"], settings=FAST) == ["echo: fail 2 503"]
        with pytest.raises(ClientError, match=r"input 2: .* failed 3 times, .*HTTP 429: on demand"):
            complete_many(url, "m", ["a", "fail 9 429"], settings=FAST)
    assert handler.seen["fail 2 503"] == 3
    assert handler.seen["fail 9 429"] == 3


def test_a_refused_input_is_named_and_not_asked_again() -> None:
    with server(["m"]) as (url, handler):
        with pytest.raises(ClientError, match=r"input 1: .* refused it, HTTP 400: on demand"):
            complete_many(url, "m", ["fail 1 400"], settings=FAST)
        assert handler.seen["fail 1 400"] == 1
        with pytest.raises(ClientError, match="no chat completion"):
            complete_many(url, "m", ["garbage"], settings=FAST)


def test_nobody_there_is_one_clear_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ClientError, match="ConnectError"):
        complete_many(url, "m", ["a"], settings=FAST)
    with pytest.raises(ClientError, match="is the server up"):
        served_model(url)
    with pytest.raises(ClientError, match="write it as http://"):
        served_model("localhost:80")


def test_the_only_model_is_found_and_a_choice_refused() -> None:
    with server(["one"]) as (url, _):
        assert served_model(url) == "one"
    with server(["one", "two"]) as (url, _), pytest.raises(ClientError, match="lists 2 models"):
        served_model(url)
