"""The HTTP skin: raw ASGI over the core. Paths, bodies, disconnects, error bodies; no decisions.

Raw, because a framework's request and response objects would cost as much as the rest of the way.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from observability import logs
from services.gateway.core import Gateway
from services.gateway.errors import (
    BodyTimeout,
    BodyTooLarge,
    GatewayError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Stopping,
    Unavailable,
    error_body,
)
from services.gateway.headers import header
from services.gateway.inbound import Endpoint, request_id_from
from services.gateway.proxy import Inbound, Reply
from services.gateway.record import Record
from services.gateway.upstream import Headers

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

COMPLETIONS: dict[str, Endpoint] = {
    "/v1/chat/completions": "chat/completions",
    "/v1/completions": "completions",
}


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class AsgiReply(Reply):
    """Sends through ASGI's `send`; every answer carries the request id."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = (b"x-request-id", request_id.encode())

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, self._request_id]}
        )

    async def write(self, data: bytes, *, last: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def fail(self, exc: GatewayError, headers: Headers) -> None:
        body = error_body(exc)
        if self.started:  # only streams begin before they are complete
            return await self.write(b"data: " + body + b"\n\n", last=True)
        headers = [*headers, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if exc.retry_after_seconds is not None:
            headers.append((b"retry-after", b"%d" % max(1, math.ceil(exc.retry_after_seconds))))
        await self.start(exc.status, headers)
        return await self.write(body, last=True)


class GatewayApp:
    """The ASGI application over a `Gateway`."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._requests = 0
        self._pages: dict[str, Callable[[], tuple[int, bytes, bytes]]] = {
            "/health": lambda: (200, b'{"status":"ok"}', b"application/json"),
            "/ready": self._ready,
            "/metrics": lambda: (
                200,
                generate_latest(gateway.metrics.registry),
                CONTENT_TYPE_LATEST.encode(),
            ),
            "/v1/models": self._models,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            return await self._lifespan(receive, send)
        if scope["type"] != "http":
            return None  # no websockets here: uvicorn refuses the handshake
        arrived = time.perf_counter()
        request_id = request_id_from(header(scope["headers"], b"x-request-id"))
        reply = AsgiReply(send, request_id)
        logs.request_id.set(request_id)  # uvicorn runs each request in a context of its own
        endpoint = COMPLETIONS.get(scope["path"])
        if endpoint is None or scope["method"] != "POST":
            return await self._page(scope, reply)
        self._requests += 1
        try:
            return await self._complete(scope, receive, reply, Record(endpoint, request_id, arrived))
        finally:
            self._requests -= 1

    async def _complete(self, scope: Scope, receive: Receive, reply: AsgiReply, record: Record) -> None:
        proxy, limits = self.gateway.proxy, self.gateway.config.limits
        try:
            if self.gateway.stopping:
                raise Stopping
            if self._requests > limits.max_requests:
                raise Unavailable("the gateway is full; try again later", retry_after_seconds=1.0)
            async with asyncio.timeout(limits.body_seconds):
                body = await _read_body(scope, receive, limits.max_body_bytes)
        except TimeoutError:
            await proxy.fail(
                reply, record, BodyTimeout(f"the body did not arrive within {limits.body_seconds:g} s")
            )
            return proxy.finish(reply, record)
        except GatewayError as exc:
            await proxy.fail(reply, record, exc)
            return proxy.finish(reply, record)
        except ClientGone:
            reply.client_left = True
            record.error_code = "client_disconnected"
            return proxy.finish(reply, record)
        road = header(scope["headers"], b"x-trivium-road").decode("latin-1")
        inbound = Inbound(scope["headers"], road or None, body)
        return await _until_client_leaves(proxy.serve(inbound, reply, record), receive, reply)

    async def _page(self, scope: Scope, reply: AsgiReply) -> None:
        try:
            page = self._pages.get(scope["path"])
            if page is None and scope["path"] not in COMPLETIONS:
                raise NotFound(f"no such path: {scope['path'][:128]}")
            if page is None or scope["method"] not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{scope['path']} does not take {scope['method'][:16]}")
            status, body, kind = page()
        except GatewayError as exc:
            allow = b"POST" if scope["path"] in COMPLETIONS else b"GET, HEAD"
            return await reply.fail(exc, [(b"allow", allow)] if exc.status == 405 else [])
        except Exception:  # the edge of the request: a fault of ours is one constant 500
            log.exception("page failed")
            return await reply.fail(InternalError(), [])
        await reply.start(status, [(b"content-type", kind), (b"content-length", b"%d" % len(body))])
        return await reply.write(body, last=True)

    def _ready(self) -> tuple[int, bytes, bytes]:
        ready = self.gateway.proxy.routes.ready and not self.gateway.stopping
        status = "ready" if ready else "stopping" if self.gateway.stopping else "no model server is ready"
        page = {"status": status, "models": self.gateway.proxy.routes.models()}
        return (200 if ready else 503), msgspec.json.encode(page), b"application/json"

    def _models(self) -> tuple[int, bytes, bytes]:
        page = {"object": "list", "data": self.gateway.proxy.routes.models()}
        return 200, msgspec.json.encode(page), b"application/json"

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.gateway.startup()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.gateway.aclose()
        await send({"type": "lifespan.shutdown.complete"})


async def _until_client_leaves(work: Awaitable[None], receive: Receive, reply: AsgiReply) -> None:
    """Await `work` in this task, and cancel it when the client closes its connection."""
    task = asyncio.current_task()
    assert task is not None
    working = True

    def left(watch: asyncio.Task[Message]) -> None:
        if working and not watch.cancelled():
            reply.client_left = True
            task.cancel()

    watch = asyncio.ensure_future(receive())  # after the body, the next message can only be the disconnect
    watch.add_done_callback(left)
    try:
        await work
    except asyncio.CancelledError:
        task.uncancel()  # the client left, or uvicorn's shutdown is over: answered and recorded by now
    finally:
        working = False
        watch.cancel()


async def _read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """The whole body. Raises BodyTooLarge (by content-length before reading a byte) and ClientGone."""
    declared = header(scope["headers"], b"content-length")
    if declared.isdigit() and int(declared) > max_bytes:
        raise BodyTooLarge(f"the body has {int(declared)} bytes, at most {max_bytes} are taken")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message["body"]
        size += len(part)
        if size > max_bytes:
            raise BodyTooLarge(f"the body is larger than {max_bytes} bytes")
        parts.append(part)
        if not message["more_body"]:
            return parts[0] if len(parts) == 1 else b"".join(parts)
