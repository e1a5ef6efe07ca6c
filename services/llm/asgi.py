"""Small pieces of the ASGI interface that the model server's layers share."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from services.llm.errors import RequestError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ClientDisconnected(Exception):
    """The client went away before its request was complete."""


async def read_body(receive: Receive, limit_bytes: int, discard_bytes: int = 0) -> bytes:
    """The whole request body. Raises RequestError (413) beyond the limit, ClientDisconnected.

    Up to `discard_bytes` beyond the limit are read and thrown away first: a client that sends all of its
    body before it listens would meet a reset in place of the answer.
    """
    body = bytearray()
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(piece)
        if size <= limit_bytes:
            body += piece
        elif not more or size > limit_bytes + discard_bytes:
            raise RequestError(413, f"the body is larger than {limit_bytes} bytes", code="request_too_large")
        if not more:
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once and then what the client does next (disconnects)."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def answer_json(
    send: Send, status: int, content: dict[str, object], headers: dict[str, str] | None = None
) -> None:
    """Send a whole JSON answer."""
    body = json.dumps(content).encode()
    await answer_bytes(send, status, body, {"content-type": "application/json", **(headers or {})})


async def answer_bytes(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    """Send a whole answer with a known length."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
