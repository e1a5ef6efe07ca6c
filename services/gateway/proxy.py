"""The core: sends one request to a model server and its answer back, byte by byte.

Knows no web framework: the skin hands in an `Inbound` and a `Reply`. When the client leaves, the skin
cancels the task that runs `Proxy.serve`, which breaks the connection to the model server at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from observability.events import RequestEvent
from observability.tracing import Tracing
from services.gateway.backend import Backend
from services.gateway.deadline import Deadline
from services.gateway.errors import (
    ConnectFailed,
    GatewayError,
    InternalError,
    Stopping,
    Unavailable,
    UpstreamBroke,
    UpstreamError,
)
from services.gateway.headers import forwarded_headers, header, returned_headers
from services.gateway.inbound import Completion, parse
from services.gateway.record import CLIENT_LEFT, Record
from services.gateway.routing import RouteTable
from services.gateway.spans import RequestSpan
from services.gateway.upstream import Headers, Upstream, UpstreamAnswer

log = logging.getLogger(__name__)

RETRY_PAUSE_SECONDS = 0.05
FAREWELL_SECONDS = 1.0
"""For an error to be taken by the socket: a client that does not read must not hold its request forever."""
COUNTS_AS_FAILURE = (502, 504)
"""Statuses of a model server that open its breaker. Not 500 (one client's poison would shut out all
others) and not 503 (a server that sheds load is doing its duty)."""


@dataclass(slots=True)
class Inbound:
    """One request for a completion, its body read."""

    headers: Headers
    """Names in lower case, as ASGI gives them."""
    road: str | None
    body: bytes


class Reply(ABC):
    """The way back to the client."""

    client_left = False
    started = False

    @abstractmethod
    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers."""

    @abstractmethod
    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body at once; waits while the client does not read."""

    @abstractmethod
    async def fail(self, exc: GatewayError, headers: Headers) -> None:
        """A JSON error, or after the start of a stream an error event and the end of the stream."""


class Proxy:
    """Routes, admits, forwards, retries, counts. Build one per gateway."""

    def __init__(
        self,
        routes: RouteTable,
        upstream: Upstream,
        *,
        max_answer_bytes: int,
        tenant: str,
        store_text: bool,
        write_event: Callable[[RequestEvent], None] | None,
        tracing: Tracing | None,
    ) -> None:
        self.routes = routes
        self._upstream = upstream
        self._max_answer_bytes = max_answer_bytes
        self._tenant, self._store_text = tenant, store_text
        self._write_event = write_event
        self._tracing = tracing

    async def serve(self, inbound: Inbound, reply: Reply, record: Record) -> None:
        """Answer one request. Raises nothing but CancelledError."""
        span = RequestSpan(self._tracing, inbound.headers)
        record.request_bytes = len(inbound.body)
        deadline = Deadline()
        try:
            try:
                async with deadline.timer:
                    await self._route(inbound, reply, record, deadline, span)
            except TimeoutError as exc:
                raise deadline.error() from exc
        except GatewayError as exc:
            await self.fail(reply, record, exc)
        except asyncio.CancelledError:
            if reply.client_left:
                record.error_code = "client_disconnected"
            else:
                await self.fail(reply, record, Stopping())
            raise
        except Exception:  # the edge of the request: a fault of ours is one constant 500
            log.exception("request failed")
            await self.fail(reply, record, InternalError())
        finally:
            self.finish(reply, record, span)

    async def fail(self, reply: Reply, record: Record, exc: GatewayError) -> None:
        """Answer with `exc` and note it."""
        record.failed(exc)
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await reply.fail(exc, record.backend.answer_headers if record.backend else [])
        except TimeoutError:
            log.info("the client does not read; its connection is given up")

    def finish(self, reply: Reply, record: Record, span: RequestSpan | None = None) -> None:
        """The request is over: metrics, event, span."""
        seconds = time.perf_counter() - record.arrived
        record.client_left = reply.client_left
        record.status = record.status or (CLIENT_LEFT if reply.client_left else 503)
        record.observe(seconds)
        if self._write_event is not None:
            self._write_event(record.event(self._tenant, seconds, self._store_text))
        if span is not None:
            span.finish(record)

    async def _route(
        self, inbound: Inbound, reply: Reply, record: Record, deadline: Deadline, span: RequestSpan
    ) -> None:
        completion = record.completion = parse(inbound.body)
        group = self.routes.resolve(completion.model, inbound.road)
        record.backend = group.backends[0]  # names model and road, should no replica be available
        span.start(record)
        headers = forwarded_headers(inbound.headers, record.request_id, span.headers())
        tried: list[Backend] = []
        while True:
            backend = record.backend = group.pick(tried)
            try:
                return await self._admit(completion, headers, reply, record, deadline)
            except ConnectFailed:
                # Nothing was sent, so that nothing can happen twice.
                if len(tried) >= backend.config.connect_retries:
                    raise
                if backend in tried or len(group.backends) == 1:
                    await asyncio.sleep(RETRY_PAUSE_SECONDS)
                tried.append(backend)

    async def _admit(
        self,
        completion: Completion,
        headers: Headers,
        reply: Reply,
        record: Record,
        deadline: Deadline,
    ) -> None:
        backend = record.backend
        assert backend is not None
        if backend.slots.full:
            deadline.enter("queue", backend.config.queue_seconds)
        before = time.perf_counter()
        await backend.slots.acquire()
        try:
            record.queue_seconds = (record.queue_seconds or 0.0) + time.perf_counter() - before
            if not backend.breaker.acquire():
                wait = backend.breaker.retry_after_seconds()
                raise Unavailable(
                    "the model server stopped answering; try again later", retry_after_seconds=wait
                )
            await self._attempt(backend, completion, headers, reply, record, deadline)
        finally:
            backend.slots.release()

    async def _attempt(
        self, backend: Backend, completion: Completion, headers: Headers, reply: Reply,
        record: Record, deadline: Deadline,
    ) -> None:  # fmt: skip
        """One exchange with `backend`, its outcome told to the breaker exactly once."""
        timeouts = backend.config.timeouts
        if completion.stream:
            deadline.enter("first_token", timeouts.first_token_seconds)
        else:
            deadline.enter("total", timeouts.total_seconds)
        try:
            status = await self._exchange(backend, completion, headers, reply, record, deadline)
        except UpstreamError as exc:
            backend.failed(exc.code)
            raise
        except BaseException:
            if deadline.is_upstreams_fault:
                backend.failed(f"timeout_{deadline.phase}")
            else:
                backend.breaker.abandon()
            raise
        if status in COUNTS_AS_FAILURE:
            backend.failed(f"status_{status}")
        else:
            backend.breaker.success()

    async def _exchange(
        self, backend: Backend, completion: Completion, headers: Headers, reply: Reply,
        record: Record, deadline: Deadline,
    ) -> int:  # fmt: skip
        body = completion.body_for(backend.upstream_model)
        connect_seconds = backend.config.timeouts.connect_seconds
        target = backend.target(record.endpoint)
        answer = await self._upstream.send("POST", target, headers, body, connect_seconds)
        try:
            if header(answer.headers, b"content-type").startswith(b"text/event-stream"):
                await self._stream(backend, answer, reply, record, deadline)
            else:
                await self._whole(backend, answer, reply, record, deadline)
        finally:
            answer.close()
        return answer.status

    async def _stream(
        self, backend: Backend, answer: UpstreamAnswer, reply: Reply, record: Record, deadline: Deadline
    ) -> None:
        inspector = record.inspector
        seen = 0
        while chunk := await answer.read():
            if not reply.started:
                record.status = answer.status
                await reply.start(answer.status, returned_headers(answer.headers) + backend.answer_headers)
            inspector.feed_stream(chunk)
            deadline.phase = "client"
            await reply.write(chunk)
            record.response_bytes += len(chunk)
            if inspector.chunks_with_text != seen:
                seen = inspector.chunks_with_text
                record.token_left()
            if seen:
                deadline.enter("between_chunks", backend.config.timeouts.between_chunks_seconds)
            else:
                deadline.phase = "first_token"
        if not reply.started:
            raise UpstreamBroke("the model server ended its stream before it began")
        if inspector.saw_error:
            record.error_code = "upstream_stream_error"
        await reply.write(b"", last=True)

    async def _whole(
        self, backend: Backend, answer: UpstreamAnswer, reply: Reply, record: Record, deadline: Deadline
    ) -> None:
        parts: list[bytes] = []
        size = 0
        while chunk := await answer.read():
            parts.append(chunk)
            size += len(chunk)
            if size > self._max_answer_bytes:
                raise UpstreamBroke(
                    f"the model server's answer is larger than {self._max_answer_bytes} bytes"
                )
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if answer.status >= 500 and not body.lstrip().startswith(b"{"):
            raise UpstreamBroke(f"the model server failed with status {answer.status}")
        if answer.status == 200:
            record.inspector.feed_whole(body)
        else:
            record.error_code = f"upstream_status_{answer.status}"
        record.status = answer.status
        record.response_bytes = size
        deadline.phase = "client"
        headers = [
            *returned_headers(answer.headers),
            *backend.answer_headers,
            (b"content-length", b"%d" % size),
        ]
        await reply.start(answer.status, headers)
        await reply.write(body, last=True)
