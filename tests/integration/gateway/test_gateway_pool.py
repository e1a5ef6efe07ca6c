"""The connection pool against a raw socket server that answers any bytes it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from common.processes import free_port
from services.gateway.connection import HIGH_WATER_BYTES
from services.gateway.errors import ConnectFailed, ConnectTimeout, UpstreamBroke
from services.gateway.pool import PooledUpstream
from services.gateway.upstream import Target

pytestmark = pytest.mark.integration

OK = b"HTTP/1.1 200 OK\r\n"
FIXED = OK + b"content-length: 2\r\n\r\nhi"


class RawServer:
    """Answers each request with the next script; an empty one closes. Counts connections."""

    def __init__(self) -> None:
        self.scripts: list[bytes] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.close_after = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            self.requests.append(head)
            if b"content-length: 4" in head:
                await reader.readexactly(4)
            script = self.scripts.pop(0)
            writer.write(script)
            if self.close_after or not script:
                break
        writer.close()


@pytest.fixture
async def raw() -> AsyncIterator[tuple[RawServer, Callable[[], Target]]]:
    handler = RawServer()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield handler, lambda: Target.parse(f"http://127.0.0.1:{port}/base/").join("/v1/x")
    server.close()


@pytest.fixture
async def pool() -> AsyncIterator[PooledUpstream]:
    upstream = PooledUpstream(keep_alive_seconds=0.3)
    yield upstream
    await upstream.aclose()
    await upstream.aclose()


async def fetch(pool: PooledUpstream, target: Target) -> bytes:
    answer = await pool.send("POST", target, [(b"x-a", b"1")], b"body", 2)
    try:
        parts = []
        while part := await answer.read():
            parts.append(part)
        return b"".join(parts)
    finally:
        answer.close()


@pytest.mark.parametrize(
    ("script", "body"),
    [
        (FIXED, b"hi"),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\ntrailer: 1\r\n\r\n", b"hi"),
        (b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" + FIXED, b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_every_framing_is_understood_and_the_connection_kept(
    raw: tuple[RawServer, Callable[[], Target]], pool: PooledUpstream, script: bytes, body: bytes
) -> None:
    server, target = raw
    server.scripts = [script, FIXED]
    assert [await fetch(pool, target()), await fetch(pool, target())] == [body, b"hi"]
    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /base/v1/x HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nx-a: 1\r\ncontent-length: 4\r\n" in server.requests[0]


async def test_body_that_ends_with_the_connection(
    raw: tuple[RawServer, Callable[[], Target]], pool: PooledUpstream
) -> None:
    server, target = raw
    server.scripts, server.close_after = [OK + b"connection: close\r\n\r\nall of it"], True
    assert await fetch(pool, target()) == b"all of it"


@pytest.mark.parametrize(
    "script",
    [b"", b"garbage\r\n\r\n", OK + b"content-length: 9\r\n\r\nhi", OK + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
     OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhi"],
)  # fmt: skip
async def test_broken_answer_is_broken(
    raw: tuple[RawServer, Callable[[], Target]], pool: PooledUpstream, script: bytes
) -> None:
    server, target = raw
    server.scripts, server.close_after = [script], True
    with pytest.raises(UpstreamBroke):
        await fetch(pool, target())


@pytest.mark.parametrize(
    "script", [OK + b"connection: close\r\ncontent-length: 2\r\n\r\nhi", FIXED + b"more"]
)
async def test_connection_that_cannot_be_kept_is_not(
    raw: tuple[RawServer, Callable[[], Target]], pool: PooledUpstream, script: bytes
) -> None:
    server, target = raw
    server.scripts = [script, FIXED]
    assert [await fetch(pool, target()), await fetch(pool, target())] == [b"hi", b"hi"]
    assert server.connections == 2


async def test_idle_connection_is_dropped_after_its_time(
    raw: tuple[RawServer, Callable[[], Target]], pool: PooledUpstream
) -> None:
    server, target = raw
    server.scripts = [FIXED, FIXED]
    await fetch(pool, target())
    await asyncio.sleep(0.4)
    await fetch(pool, target())
    assert server.connections == 2


async def test_connection_that_the_server_closed_is_not_used_again(
    raw: tuple[RawServer, Callable[[], Target]], pool: PooledUpstream
) -> None:
    server, target = raw
    server.scripts, server.close_after = [FIXED, FIXED], True
    await fetch(pool, target())
    await asyncio.sleep(0.05)
    assert await fetch(pool, target()) == b"hi"


async def test_reading_stops_while_nobody_takes_the_bytes(
    raw: tuple[RawServer, Callable[[], Target]], pool: PooledUpstream
) -> None:
    server, target = raw
    size = 20 * 2**20
    server.scripts = [OK + b"content-length: %d\r\n\r\n" % size + b"x" * size]
    answer = await pool.send("POST", target(), [], b"body", 2)
    await asyncio.sleep(0.2)
    first = await answer.read()
    assert len(first) < HIGH_WATER_BYTES + 2**19
    total = len(first)
    while part := await answer.read():
        total += len(part)
    assert total == size
    answer.close()


async def test_nobody_listens(pool: PooledUpstream) -> None:
    with pytest.raises(ConnectFailed):
        await fetch(pool, Target.parse(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ConnectFailed):
        await fetch(pool, Target.parse("http://does-not-exist.invalid"))


async def test_connection_that_is_not_made_in_time(
    pool: PooledUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    with pytest.raises(ConnectTimeout):
        await pool.send("GET", Target.parse("http://127.0.0.1:1"), [], b"", 0.05)


async def test_tls_is_spoken_and_certificates_are_checked(
    raw: tuple[RawServer, Callable[[], Target]], pool: PooledUpstream
) -> None:
    plain = raw[1]()
    with pytest.raises(ConnectFailed):  # the other side does not speak TLS
        await fetch(pool, Target(plain.host, plain.port, True, "/"))
