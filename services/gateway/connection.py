"""One HTTP/1.1 connection to a model server: an asyncio protocol around httptools' parser (llhttp).

Reading stops while 64 KiB wait to be taken, so that a slow client slows the model server's socket and
not this process's memory.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from services.gateway.errors import UpstreamBroke
from services.gateway.upstream import Headers

HIGH_WATER_BYTES = 64 * 1024
MAX_HEAD_BYTES = 64 * 1024


class Connection(asyncio.Protocol):
    """Carries one exchange at a time: `request`, then `read` until it returns nothing."""

    def __init__(self) -> None:
        self.closed = False
        self.status = 0
        self.headers: Headers = []
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._broken: str | None = None
        self._busy = False
        self._start_of_answer()

    def _start_of_answer(self) -> None:
        self.headers = []
        self._head_bytes = 0
        self._head_complete = self._complete = False
        self._until_eof = True
        self._chunks: list[bytes] = []
        self._waiting_bytes = 0
        self._paused = False

    # The owner's side.

    async def request(self, data: bytes) -> None:
        """Send a whole request and wait for the head of the answer. Raises UpstreamBroke."""
        if self.closed or self._transport is None:
            raise UpstreamBroke("the model server broke off the connection")
        self._start_of_answer()
        self._busy = True
        self._transport.write(data)
        while not self._head_complete:
            await self._wait()

    async def read(self) -> bytes:
        """The body's next bytes; empty at its end. Raises UpstreamBroke."""
        while not self._chunks:
            if self._complete:
                return b""
            await self._wait()
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._waiting_bytes = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    @property
    def reusable(self) -> bool:
        """Whether the exchange is over and the server keeps the connection."""
        return self._complete and not self.closed and not self._chunks and self._keep_alive

    def rest(self) -> None:
        """The exchange is over; whatever arrives from now on breaks the connection."""
        self._busy = False

    def abort(self) -> None:
        """Close at once; the server sees it."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._broken is not None:
            raise UpstreamBroke(self._broken)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            return self.abort()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break("the model server's answer is not HTTP")
            self.abort()
        if self._waiting_bytes > HIGH_WATER_BYTES and not self._paused and not self.closed:
            assert self._transport is not None
            self._paused = True
            self._transport.pause_reading()
        return self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._head_complete and self._until_eof and exc is None:
            self._complete = True
        if not self._complete:
            self._break("the model server broke off the connection")
        self._wake()

    def _break(self, reason: str) -> None:
        self._broken = self._broken or reason

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # httptools' side.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_complete:
            return  # a trailer
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("too many headers")
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._until_eof = False
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 and 103 come before the answer
            return
        self.status = status
        self._head_complete = True
        self._keep_alive = self._parser.should_keep_alive()
        if status in (204, 304):
            self._until_eof = False

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._head_complete:
            self._complete = True
        else:
            self._start_of_answer()
