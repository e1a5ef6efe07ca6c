"""The simulated network: a TCP relay that lets bytes through when they would have arrived.

Runs as `python -m roads network`. It shapes latency and bandwidth per connection; it does not lose packets,
and the server sees the relay's address.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable

from roads.config import NetworkProfile
from roads.link import Link, Network

CHUNK_BYTES = 16 * 1024
CONNECT_TIMEOUT_SECONDS = 10.0
# Linger for 0 seconds: closing sends a reset, so that a broken connection is broken on the other side too.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Pipe:
    """One direction of a connection: what was read waits here until it arrives."""

    def __init__(self, link: Link, limit_bytes: int, clock: Callable[[], float]) -> None:
        self._link = link
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Condition()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes from `reader` to `writer` until the end, which is passed on as a half-close.

        Raises OSError where either side breaks.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(reader))
            tasks.create_task(self._write(writer))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            data = await reader.read(CHUNK_BYTES)
            arrival = self._link.arrival(self._clock(), len(data))
            async with self._changed:
                self._waiting.append((arrival, data))
                self._waiting_bytes += len(data)
                self._changed.notify_all()
                if not data:
                    return
                await self._changed.wait_for(lambda: self._waiting_bytes < self._limit_bytes)

    async def _write(self, writer: asyncio.StreamWriter) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._waiting))
                arrival, data = self._waiting[0]
            await asyncio.sleep(max(0.0, arrival - self._clock()))
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            async with self._changed:
                self._waiting.popleft()
                self._waiting_bytes -= len(data)
                self._changed.notify_all()


class Relay:
    """Listens on one address and carries every connection to another through a `Network`."""

    def __init__(self, profile: NetworkProfile, upstream: tuple[str, int]) -> None:
        self._network = Network(profile)
        self._limit_bytes = profile.buffer_kib * 1024
        self._upstream = upstream
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; returns the address. Raises OSError where it cannot be had."""
        self._server = await asyncio.start_server(
            self._accept, host, port, limit=2 * CHUNK_BYTES, backlog=1024
        )
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address

    async def stop(self) -> None:
        """Stop listening and break the connections there are."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._connection(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        up, down = self._network.connect(clock())
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                server_reader, server_writer = await asyncio.open_connection(
                    *self._upstream, limit=2 * CHUNK_BYTES
                )
        except (OSError, TimeoutError):
            _reset(writer)
            return
        ended_well = False
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(Pipe(up, self._limit_bytes, clock).carry(reader, server_writer))
                ways.create_task(Pipe(down, self._limit_bytes, clock).carry(server_reader, writer))
            ended_well = True
        except* OSError:
            pass  # a side broke; the reset below tells the other
        finally:
            for side in (writer, server_writer):
                side.close() if ended_well else _reset(side)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, with a reset."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


async def serve(profile: NetworkProfile, listen: tuple[str, int], upstream: tuple[str, int]) -> None:
    """Relay until SIGTERM or SIGINT. Raises OSError where `listen` cannot be had."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    relay = Relay(profile, upstream)
    host, port = await relay.start(*listen)
    print(
        f"simulated network ({profile.description}) on {host}:{port} to {upstream[0]}:{upstream[1]}",
        flush=True,
    )
    await stop.wait()
    await relay.stop()
