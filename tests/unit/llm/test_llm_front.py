"""The HTTP front, around a fake backend."""

from __future__ import annotations

from typing import Any

import pytest

from services.llm.asgi import ClientDisconnected, Receive, Scope, Send, answer_json, read_body
from services.llm.errors import RequestError
from services.llm.front import Front, Identity

pytestmark = pytest.mark.unit

LIMIT = 1000


class FakeBackend:
    """Echoes the body; `failure` is raised instead."""

    def __init__(self, *, alive: bool = True, failure: BaseException | None = None) -> None:
        self.recovers = False
        self.alive = alive
        self.failure = failure
        self.bodies: list[bytes] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.failure is not None:
            raise self.failure
        self.bodies.append(await read_body(receive, 10**9))
        await answer_json(send, 200, {"path": scope["path"]})

    async def healthy(self) -> bool:
        return self.alive

    async def metrics(self) -> bytes:
        return b"vllm:num_requests_running 0.0\n"


def front(backend: FakeBackend) -> Front:
    return Front(backend, Identity("sha256:00", "venue-nano", "onprem", "fp32"), max_body_bytes=LIMIT)


def test_ready_tells_what_is_served(call: Any) -> None:
    answer = call(front(FakeBackend()), "GET", "/ready")
    assert answer.status == 200
    assert answer.json() == {
        "status": "ready", "bundle_digest": "sha256:00", "model": "venue-nano", "road": "onprem",
        "format": "fp32",
    }  # fmt: skip


def test_a_dead_engine_is_not_ready_but_the_process_is_alive(call: Any) -> None:
    app = front(FakeBackend(alive=False))
    assert call(app, "GET", "/ready").status == 503
    assert call(app, "GET", "/health").status == 200


def test_metrics_are_the_engines(call: Any) -> None:
    answer = call(front(FakeBackend()), "GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"vllm:num_requests_running" in answer.body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/x"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/tokenize"),
    ],
)
def test_the_api_is_passed_on_with_its_body(call: Any, method: str, path: str) -> None:
    backend = FakeBackend()
    answer = call(front(backend), method, path, [b"ab", b"cd"])
    assert answer.json() == {"path": path}
    assert backend.bodies == [b"abcd"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/sleep", 404),
        ("POST", "/health", 405),
        ("DELETE", "/metrics", 405),
        ("GET", "/v1/completions", 405),
        ("POST", "/v1/models", 405),
    ],
)
def test_other_paths_and_methods_are_refused_in_the_openai_shape(
    call: Any, method: str, path: str, status: int
) -> None:
    answer = call(front(FakeBackend()), method, path)
    assert answer.status == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("pieces", [[b"x" * 1001], [b"x" * 600] * 2, [b"x" * 600] * 10, [b"x" * 600] * 1000])
def test_a_large_body_is_refused(call: Any, pieces: list[bytes]) -> None:
    backend = FakeBackend()
    answer = call(front(backend), "POST", "/v1/completions", pieces)
    assert answer.status == 413
    assert str(LIMIT) in answer.json()["error"]["message"]
    assert backend.bodies == []


def test_an_unforeseen_error_is_a_constant_500(call: Any) -> None:
    answer = call(front(FakeBackend(failure=ZeroDivisionError("secret"))), "POST", "/v1/completions")
    assert answer.status == 500
    assert b"secret" not in answer.body


def test_overload_is_503_with_a_time_to_come_back(call: Any) -> None:
    failure = RequestError(503, "too many requests wait", code="overloaded")
    answer = call(front(FakeBackend(failure=failure)), "POST", "/v1/completions")
    assert (answer.status, answer.json()["error"]["code"]) == (503, "overloaded")
    assert "retry-after" in answer.headers


def test_nothing_is_sent_to_a_client_that_left(call: Any) -> None:
    assert call(front(FakeBackend(failure=ClientDisconnected())), "POST", "/v1/completions").status == 0
