"""Servers that die, start late or are not there; signals; starts that must fail with one line."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.fakes.gateway import PROMPT, BackendProcess, GatewayProcess, wait_until

pytestmark = pytest.mark.integration


async def ask(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.post(f"{url}/v1/chat/completions", json=PROMPT) as response:
        content = await response.json()
        return response.status, content["error"]["code"] if "error" in content else ""


async def test_server_killed_under_load_gives_json_errors_and_comes_back(tmp_path: Path) -> None:
    backend = BackendProcess(tmp_path, "--chunk-delay-ms", "1")
    results: list[tuple[int, str]] = []
    with backend, GatewayProcess(tmp_path, backend.url) as gateway:
        backend.wait_ready(30)
        gateway.wait_ready(30)
        async with aiohttp.ClientSession() as session:
            running = True

            async def user() -> None:
                while running:
                    results.append(await ask(session, gateway.url))
                    await asyncio.sleep(0.01)

            users = [asyncio.create_task(user()) for _ in range(8)]
            await asyncio.sleep(0.5)
            psutil.Process(backend.pid).kill()
            await asyncio.sleep(1.0)
            while_dead = len(results)
            again = BackendProcess(tmp_path, port=backend.port)
            with again:
                await asyncio.to_thread(again.wait_ready, 30)
                await asyncio.sleep(1.0)
                at_the_end = [await ask(session, gateway.url) for _ in range(5)]
                running = False
                await asyncio.gather(*users)
    statuses = Counter(status for status, _ in results)
    assert set(statuses) <= {200, 502, 503}
    assert statuses[200]
    assert statuses[502] + statuses[503]
    assert all(code for status, code in results[:while_dead] if status != 200)
    assert at_the_end == [(200, "")] * 5


def test_gateway_starts_before_its_server_and_becomes_ready(tmp_path: Path) -> None:
    backend = BackendProcess(tmp_path)
    with GatewayProcess(tmp_path, backend.url) as gateway:
        gateway.wait_ready(30)
        gateway.ready_url = f"{gateway.url}/ready"
        time.sleep(0.3)
        with pytest.raises(Exception, match="not ready"):
            gateway.wait_ready(time.monotonic() - gateway._started + 0.2)
        with backend:
            gateway.wait_ready(time.monotonic() - gateway._started + 30)


def test_connection_reset_before_the_first_byte_is_502(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with GatewayProcess(
            tmp_path, f"http://127.0.0.1:{port}", route={"ready_every_seconds": 3600}
        ) as gateway:
            listener.settimeout(20)
            listener.accept()[0].close()  # the question for /ready
            gateway.wait_ready(30)
            client = subprocess.Popen(
                ["curl", "-s", "-w", " %{http_code}", "-d", '{"model":"m"}', f"{gateway.url}/v1/completions"],
                stdout=subprocess.PIPE,
            )
            connection = listener.accept()[0]
            connection.recv(65536)
            connection.close()
            answer = client.communicate(timeout=20)[0].decode()
    assert answer.endswith(" 502")
    assert '"upstream_broke"' in answer


async def test_sigterm_lets_a_stream_finish_and_refuses_new_requests(tmp_path: Path) -> None:
    request = {**PROMPT, "stream": True, "metadata": {"chunk_delay_ms": "50", "tokens": "30"}}
    with BackendProcess(tmp_path) as backend, GatewayProcess(tmp_path, backend.url) as gateway:
        backend.wait_ready(30)
        gateway.wait_ready(30)
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{gateway.url}/v1/chat/completions", json=request) as response:
                first = await response.content.readany()
                process = psutil.Process(gateway.pid)
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.4)
                with pytest.raises(aiohttp.ClientConnectionError):
                    async with aiohttp.ClientSession() as other:
                        await ask(other, gateway.url)
                rest = await response.read()
            assert (first + rest).endswith(b"data: [DONE]\n\n")
        await asyncio.to_thread(process.wait, 10)


async def test_stream_longer_than_the_bound_is_cut_at_shutdown(tmp_path: Path) -> None:
    request = {**PROMPT, "stream": True, "metadata": {"chunk_delay_ms": "50", "tokens": "3000"}}
    with (
        BackendProcess(tmp_path) as backend,
        GatewayProcess(tmp_path, backend.url, shutdown_seconds=1) as gateway,
    ):
        backend.wait_ready(30)
        gateway.wait_ready(30)
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{gateway.url}/v1/chat/completions", json=request) as response,
        ):
            await response.content.readany()
            process = psutil.Process(gateway.pid)
            process.send_signal(signal.SIGTERM)
            rest = await response.read()
        await asyncio.to_thread(process.wait, 10)
        assert b'"gateway_stopped"' in rest, rest[-300:]
        wait_until(lambda: backend.stats()["active"] == 0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "no such file"),
        ("routes: []", "routes"),
        ("routs: []", "did you mean 'routes'?"),
        ("routes: [", "not valid YAML"),
        ("routes: [{model: m, road: edge, url: 'http://x:1'}]\nevents: {path: /dev/null/x}", "/dev/null/x"),
    ],
)
def test_wrong_configuration_is_one_line(tmp_path: Path, config: str | None, message: str) -> None:
    file = tmp_path / "gateway.yaml"
    if config is not None:
        file.write_text(config)
    command = [sys.executable, "-m", "services.gateway", "--config", str(file), "--port", "1"]
    if config is not None and "/dev/null" in config:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            command[-1] = str(probe.getsockname()[1])
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_port_in_use_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("routes: [{model: m, road: edge, url: 'http://127.0.0.1:1'}]")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "services.gateway", "--config", str(file), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "choose another --port" in done.stderr
