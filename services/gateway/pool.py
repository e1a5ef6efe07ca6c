"""Keep-alive connections to model servers.

Why not a client library: with aiohttp the gateway took 212 µs of CPU per request, more than a third of
it in the client, which put the added p50 at 16 connections beside its bound of 3 ms. A proxy needs no
redirects, cookies or decoding; it needs the bytes. `python -m services.gateway.bench` measures it.
"""

from __future__ import annotations

import asyncio
import ssl
import time

from services.gateway.connection import Connection
from services.gateway.errors import ConnectFailed, ConnectTimeout
from services.gateway.upstream import Headers, Target, Upstream, UpstreamAnswer

Server = tuple[str, int, bool]


class PooledAnswer(UpstreamAnswer):
    """The answer that is arriving on `connection`."""

    __slots__ = ("_connection", "_pool", "_server", "headers", "status")

    def __init__(self, connection: Connection, server: Server, pool: PooledUpstream) -> None:
        self._connection, self._server, self._pool = connection, server, pool
        self.status = connection.status
        self.headers = connection.headers

    async def read(self) -> bytes:
        """See UpstreamAnswer."""
        return await self._connection.read()

    def close(self) -> None:
        """See UpstreamAnswer."""
        self._pool.give_back(self._connection, self._server)


class PooledUpstream(Upstream):
    """Idle connections live `keep_alive_seconds`, the last used is taken first.

    The number of connections is bounded by the routes' slots.
    """

    def __init__(self, keep_alive_seconds: float) -> None:
        self._keep_alive_seconds = keep_alive_seconds
        self._idle: dict[Server, list[tuple[Connection, float]]] = {}
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def send(
        self, method: str, target: Target, headers: Headers, body: bytes, connect_seconds: float
    ) -> UpstreamAnswer:
        """See Upstream."""
        server = (target.host, target.port, target.tls)
        connection = self._take_idle(server) or await self._connect(server, connect_seconds)
        try:
            await connection.request(_render(method, target, headers, body))
        except BaseException:  # cancelled or broken: either way this connection carries half an exchange
            connection.abort()
            raise
        return PooledAnswer(connection, server, self)

    def give_back(self, connection: Connection, server: Server) -> None:
        """Keep `connection` for the next request where that is possible, else break it."""
        if connection.reusable and not self._closed:
            connection.rest()
            self._idle.setdefault(server, []).append((connection, time.monotonic()))
        else:
            connection.abort()

    async def aclose(self) -> None:
        """See Upstream."""
        self._closed = True
        for connections in self._idle.values():
            for connection, _ in connections:
                connection.abort()
        self._idle.clear()

    def _take_idle(self, server: Server) -> Connection | None:
        idle = self._idle.get(server)
        if not idle:
            return None
        oldest_allowed = time.monotonic() - self._keep_alive_seconds
        connection, since = idle.pop()
        if since >= oldest_allowed and not connection.closed:
            return connection
        if since < oldest_allowed:  # then all below it are older still
            for stale, _ in idle:
                stale.abort()
            idle.clear()
        connection.abort()
        return self._take_idle(server)

    async def _connect(self, server: Server, connect_seconds: float) -> Connection:
        host, port, tls = server
        if tls and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            async with asyncio.timeout(connect_seconds):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(
                    Connection, host, port, ssl=self._tls if tls else None
                )
        except TimeoutError as exc:
            raise ConnectTimeout("the model server did not accept a connection in time") from exc
        except OSError as exc:
            raise ConnectFailed("the model server cannot be reached") from exc
        return connection


def _render(method: str, target: Target, headers: Headers, body: bytes) -> bytes:
    lines = [f"{method} {target.path or '/'} HTTP/1.1\r\nhost: {target.authority}\r\n".encode()]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    if body:
        lines.append(b"content-length: %d\r\n" % len(body))
    lines += (b"\r\n", body)
    return b"".join(lines)
