"""The relay with real sockets: whole bytes, closes and breaks passed on, back-pressure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roads.config import NetworkProfile
from roads.network import Relay

pytestmark = pytest.mark.unit

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def profile(**values: object) -> NetworkProfile:
    return NetworkProfile.from_dict({"description": "test", "rtt_ms": 2, "jitter_ms": 1, **values}, "test")


@contextlib.asynccontextmanager
async def relayed(
    handler: Handler, network: NetworkProfile
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client connection to `handler` through a relay."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    relay = Relay(network, server.sockets[0].getsockname()[:2])
    reader, writer = await asyncio.open_connection(*await relay.start("127.0.0.1", 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        await relay.stop()
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back, then close."""
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()


@settings(max_examples=15, deadline=None)
@given(pieces=st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=8))
def test_every_byte_arrives_once_and_in_order(pieces: list[bytes]) -> None:
    async def run() -> bytes:
        async with relayed(echo, profile()) as (reader, writer):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            writer.write_eof()  # a half-close: the answer must still come
            return await reader.read(-1)

    assert asyncio.run(run()) == b"".join(pieces)


async def test_a_round_trip_takes_at_least_its_time() -> None:
    async with relayed(echo, profile(rtt_ms=60, jitter_ms=0, handshake_round_trips=1)) as (reader, writer):
        clock = asyncio.get_running_loop().time
        began = clock()
        writer.write(b"first")
        assert await reader.readexactly(5) == b"first"
        with_handshake = clock() - began
        began = clock()
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        alone = clock() - began
    assert with_handshake >= 0.115
    assert alone >= 0.058
    assert alone < with_handshake + 0.5  # a busy machine may be late, by no order of magnitude


async def test_the_servers_close_reaches_the_client() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async with relayed(close, profile()) as (reader, _):
        assert await asyncio.wait_for(reader.read(-1), 5) == b"bye"


async def test_the_clients_close_reaches_a_server_that_streams() -> None:
    stopped = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while not reader.at_eof():
                writer.write(b"token ")
                await writer.drain()
                await asyncio.sleep(0.005)
                await asyncio.sleep(0) if reader.at_eof() else None
        writer.close()
        stopped.set()

    async with relayed(stream, profile()) as (reader, writer):
        await reader.readexactly(6)
        writer.close()
        await asyncio.wait_for(stopped.wait(), 5)


async def test_a_broken_server_breaks_the_client_too() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        from roads.network import _reset

        _reset(writer)

    async with relayed(broken, profile()) as (reader, writer):
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(-1), 5)


async def test_a_server_that_is_not_there_resets_the_client() -> None:
    probe = await asyncio.start_server(echo, "127.0.0.1", 0)
    nowhere = probe.sockets[0].getsockname()[:2]
    probe.close()
    await probe.wait_closed()
    relay = Relay(profile(), nowhere)
    reader, writer = await asyncio.open_connection(*await relay.start("127.0.0.1", 0))
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(-1), 5)
    writer.close()
    await relay.stop()


async def test_a_client_that_does_not_read_holds_the_server_back() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"x" * 65536)
                sent += 65536
                await writer.drain()

    network = profile(buffer_kib=64)
    async with relayed(flood, network):
        before = -1
        while sent != before:  # until the flood stands still
            before = sent
            await asyncio.sleep(0.3)
    # What the kernel's buffers and two streams hold; without back-pressure it would be gigabytes.
    assert sent < 64 * 1024 * 1024
