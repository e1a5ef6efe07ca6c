"""The gateway as a process, in front of a real server: streams, disconnects, back-pressure, limits."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import openai
import psutil
import pytest

from observability.events import read_events
from tests.fakes.gateway import PROMPT, BackendProcess, GatewayProcess, wait_until

pytestmark = pytest.mark.integration


def body(**fields: Any) -> dict[str, Any]:
    metadata = {key: str(value) for key, value in fields.pop("fake", {}).items()}
    return {**PROMPT, "metadata": metadata, **fields}


def raw_request(gateway: GatewayProcess, content: dict[str, Any]) -> socket.socket:
    """A connection on which `content` was sent and nothing read yet."""
    data = json.dumps(content).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    connection.sendall(head.encode() + data)
    return connection


def outcomes(gateway: GatewayProcess) -> list[tuple[int, str | None]]:
    """Status and error code of every event written so far."""
    return [(event.status, event.error_code) for event in read_events(gateway.events)]


async def test_official_client_works_streaming_and_not(gateway: GatewayProcess) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
        answer = await client.chat.completions.create(
            model="m@onprem", messages=[{"role": "user", "content": "a b"}]
        )
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 16
        texts = [
            chunk.choices[0].delta.content or ""
            async for chunk in await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "a b"}], stream=True
            )
        ]
        assert "".join(texts) == answer.choices[0].message.content
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nope", messages=[])


async def test_official_client_sees_an_error_when_the_server_dies_mid_stream(gateway: GatewayProcess) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[], stream=True, metadata={"fail": "die-mid-stream"}
        )
        with pytest.raises(openai.APIError, match="broke off"):
            async for _ in stream:
                pass


async def test_chunks_arrive_as_they_are_made(gateway: GatewayProcess) -> None:
    request = body(stream=True, fake={"chunk_delay_ms": 50, "tokens": 6})
    arrivals = []
    async with aiohttp.ClientSession() as session, session.post(
        f"{gateway.url}/v1/chat/completions", json=request
    ) as response:  # fmt: skip
        async for _ in response.content.iter_any():
            arrivals.append(time.monotonic())
    assert arrivals[-1] - arrivals[0] > 0.2
    assert len(arrivals) >= 5


def test_client_that_leaves_mid_stream_stops_the_server(
    gateway: GatewayProcess, backend: BackendProcess
) -> None:
    before = backend.stats()["cancelled"]
    connection = raw_request(gateway, body(stream=True, fake={"chunk_delay_ms": 20, "tokens": 5000}))
    assert b"200 OK" in connection.recv(4096)
    left = time.monotonic()
    connection.close()
    wait_until(lambda: backend.stats()["cancelled"] == before + 1, 5)
    assert time.monotonic() - left < 2
    assert backend.stats()["active"] == 0
    wait_until(lambda: (200, "client_disconnected") in outcomes(gateway))


def test_client_that_leaves_before_the_answer_stops_the_server(
    gateway: GatewayProcess, backend: BackendProcess
) -> None:
    before = backend.stats()["cancelled"]
    connection = raw_request(gateway, body(fake={"fail": "hang"}))
    wait_until(lambda: backend.stats()["active"] == 1)
    connection.close()
    wait_until(lambda: backend.stats()["cancelled"] == before + 1, 5)
    wait_until(lambda: (499, "client_disconnected") in outcomes(gateway))


def test_slow_client_slows_the_server_not_the_gateways_memory(
    gateway: GatewayProcess, backend: BackendProcess
) -> None:
    process = psutil.Process(gateway.pid)
    before = process.memory_info().rss
    megabytes = 200
    request = body(stream=True, fake={"tokens": megabytes * 16, "chunk_bytes": 65536})
    connection = raw_request(gateway, request)
    time.sleep(1.5)
    assert backend.stats()["active"] == 1
    assert process.memory_info().rss - before < 40 * 2**20
    received = 0
    while chunk := connection.recv(2**20):
        received += len(chunk)
        if chunk.endswith(b"0\r\n\r\n"):
            break
    connection.close()
    assert received > megabytes * 2**20


def test_client_that_never_reads_is_given_up(tmp_path: Path, backend: BackendProcess) -> None:
    route = {"timeouts": {"between_chunks_seconds": 0.5}}
    with GatewayProcess(tmp_path, backend.url, route=route) as server:
        server.wait_ready(30)
        request = body(stream=True, fake={"tokens": 3200, "chunk_bytes": 65536})
        with raw_request(server, request):
            wait_until(lambda: backend.stats()["active"] == 1)
            wait_until(lambda: backend.stats()["active"] == 0)
            wait_until(lambda: outcomes(server) == [(200, "client_stalled")])


@pytest.mark.parametrize("chunked", [False, True])
def test_body_of_20_megabytes_is_refused_without_being_held(gateway: GatewayProcess, chunked: bool) -> None:
    process = psutil.Process(gateway.pid)
    before = process.memory_info().rss
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: 20000000"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n")
        block = b" " * 100_000
        for _ in range(200):
            connection.sendall(b"186a0\r\n" + block + b"\r\n" if chunked else block)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"request_too_large"' in answer
    assert process.memory_info().rss - before < 15 * 2**20


async def test_200_streams_at_once(gateway: GatewayProcess) -> None:
    request = body(stream=True, fake={"chunk_delay_ms": 20, "tokens": 20})

    async def one(session: aiohttp.ClientSession) -> bytes:
        async with session.post(f"{gateway.url}/v1/chat/completions", json=request) as response:
            assert response.status == 200
            return await response.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        answers = await asyncio.gather(*(one(session) for _ in range(200)))
    assert {answer.count(b"data: ") for answer in answers} == {23}
    assert all(answer.endswith(b"data: [DONE]\n\n") for answer in answers)


def test_50_open_and_close_cycles_leak_no_descriptor(
    gateway: GatewayProcess, backend: BackendProcess
) -> None:
    def cycle(number: int) -> None:
        connection = raw_request(gateway, body(stream=True, fake={"chunk_delay_ms": 5, "tokens": 400}))
        connection.recv(100)
        connection.close()

    def descriptors() -> int:
        return psutil.Process(gateway.pid).num_fds()

    cycle(0)
    wait_until(lambda: backend.stats()["active"] == 0)
    before = descriptors()
    for number in range(50):
        cycle(number)
    wait_until(lambda: backend.stats()["active"] == 0)
    wait_until(lambda: descriptors() <= before + 2, 8)


async def test_metrics_and_events_agree(tmp_path: Path, backend: BackendProcess) -> None:
    with GatewayProcess(tmp_path, backend.url) as server:
        server.wait_ready(30)
        async with aiohttp.ClientSession() as session:
            for _ in range(5):
                await (await session.post(f"{server.url}/v1/chat/completions", json=PROMPT)).read()
            page = await (await session.get(f"{server.url}/metrics")).text()
    counted = 'trivium_requests_total{endpoint="chat/completions",model="m",road="onprem",status="200"} 5.0'
    assert counted in page
    assert 'trivium_completion_tokens_total{model="m",road="onprem"} 80.0' in page
    assert len(list(read_events(server.events))) == 5  # written at the latest by the shutdown
