"""A replica's side of a request: pieces travel together, and a client that leaves stops the work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.llm.asgi import Receive, Scope, Send
from services.llm.merge_metrics import merge_replicas
from services.llm.ray_replica import BundleServer

pytestmark = pytest.mark.unit


def server(app: Any) -> BundleServer:
    replica = BundleServer.__new__(BundleServer)
    replica._app = app
    return replica


async def test_status_headers_and_pieces_arrive_in_order() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    got: list[Any] = [item async for item in server(app).handle({"path": "/"}, b"one")]
    assert got[0] == (201, [(b"a", b"b")])
    assert b"".join(piece for pieces in got[1:] for piece in pieces) == b"onetwo"


async def test_pieces_that_are_ready_together_travel_together() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body"})

    got = [item async for item in server(app).handle({}, b"")]
    assert got[1:] == [[b"x"] * 100]


async def test_leaving_cancels_the_work_and_tells_it_so() -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    answer = server(app).handle({}, b"")
    await anext(answer)
    await anext(answer)
    await answer.aclose()  # type: ignore[attr-defined]
    assert events == ["cancelled"]


async def test_an_application_that_fails_early_does_not_hang() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _ = [item async for item in server(app).handle({}, b"")]


def test_one_replica_keeps_its_text() -> None:
    assert merge_replicas([b"a 1.0\n"]) == b"a 1.0\n"


def test_metrics_of_replicas_are_told_apart_and_described_once() -> None:
    text = '# HELP r_total Requests.\n# TYPE r_total counter\nr_total{model="m"} %d\n'
    merged = merge_replicas([(text % 3).encode(), (text % 4).encode()]).decode()
    assert merged.count("# TYPE r_total counter") == 1
    assert 'r_total{model="m",replica="0"} 3.0' in merged
    assert 'r_total{model="m",replica="1"} 4.0' in merged
