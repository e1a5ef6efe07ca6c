"""The real server on a real (tiny) bundle, in the environment without torch."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bundle import Bundle
from common.processes import free_port
from tests.integration.edge.edge_bundle import ROOT, RunningEdge, command, exported_bundle, running

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[RunningEdge]:
    with running("fp32", "--max-sequences", "2") as edge:
        yield edge


def request(
    server: RunningEdge, method: str, path: str, body: bytes | dict[str, Any] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, json.dumps(body) if isinstance(body, dict) else body)
        response = connection.getresponse()
        text = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text.decode()
    finally:
        connection.close()


def generated_tokens(server: RunningEdge) -> tuple[float, float]:
    """Tokens made so far, and requests that were cancelled."""
    _, text = request(server, "GET", "/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    cancelled = 'vllm:request_success_total{finished_reason="cancelled",model_name="tiny"}'
    return (
        float(values['vllm:generation_tokens_total{model_name="tiny"}']),
        float(values.get(cancelled, 0)),
    )


def test_ready_names_the_verified_bundle(server: RunningEdge) -> None:
    status, ready = request(server, "GET", "/ready")
    digest = Bundle.open(exported_bundle().path).digest
    assert status == 200
    assert ready == {
        "status": "ready", "bundle_digest": digest, "model": "tiny", "road": "edge", "format": "fp32",
    }  # fmt: skip


def test_golden_prompts_through_chat_many_at_once(server: RunningEdge) -> None:
    golden = Bundle.open(exported_bundle().path).manifest.golden * 6

    def ask(number: int) -> list[int]:
        prompt = golden[number]
        status, answer = request(server, "POST", "/v1/chat/completions", {
            "model": "tiny", "messages": [m.model_dump() for m in prompt.messages], "temperature": 0,
            "max_tokens": len(prompt.expected_token_ids), "return_token_ids": True,
        })  # fmt: skip
        assert status == 200
        assert answer["prompt_token_ids"] == prompt.prompt_token_ids
        return list(answer["choices"][0]["token_ids"])

    with ThreadPoolExecutor(len(golden)) as pool:
        answers = list(pool.map(ask, range(len(golden))))
    assert answers == [prompt.expected_token_ids for prompt in golden]


def test_it_is_small_and_has_no_torch(server: RunningEdge) -> None:
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "torch" not in maps
    assert server.process.rss_bytes() < 250e6


@pytest.mark.parametrize("stream", [True, False])
def test_clients_that_leave_stop_their_generation(server: RunningEdge, stream: bool) -> None:
    tokens_before, cancelled_before = generated_tokens(server)
    clients, each = 40, 240
    body = json.dumps({
        "model": "tiny", "prompt": [5, 6, 7], "max_tokens": each, "ignore_eos": True, "stream": stream,
    }).encode()  # fmt: skip
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(clients)]
    for connection in sockets:
        connection.sendall(head + body)
    sockets[0].recv(1)
    for connection in sockets:
        connection.close()
    settled = wait_settled(server)
    assert settled[1] - cancelled_before >= clients / 2
    assert settled[0] - tokens_before < clients * each / 2
    time.sleep(0.3)
    assert generated_tokens(server) == settled


def wait_settled(server: RunningEdge) -> tuple[float, float]:
    """The counters when they have stopped for 0.2 s."""
    last = generated_tokens(server)
    for _ in range(100):
        time.sleep(0.2)
        now = generated_tokens(server)
        if now == last:
            return now
        last = now
    raise AssertionError("the server never became idle")


def test_a_20_mb_body_is_413_and_the_server_lives(server: RunningEdge) -> None:
    status, answer = request(server, "POST", "/v1/completions", b'{"prompt": "' + b"x" * 20_000_000 + b'"}')
    assert status == 413
    assert answer["error"]["type"] == "request_too_large"
    assert request(server, "GET", "/health")[0] == 200


def test_a_changed_bundle_is_never_served(tmp_path: Path) -> None:
    tiny = exported_bundle()
    copy = tmp_path / "bundle"
    shutil.copytree(tiny.path, copy)
    weights = copy / "onnx/int4/model.onnx.data"
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.write_bytes(data)
    done = run_to_end(command(copy, free_port(), tiny.public_key))
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "onnx/int4/model.onnx.data" in errors[0]
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_one_line_before_anything_is_loaded(server: RunningEdge) -> None:
    tiny = exported_bundle()
    done = run_to_end(command(tiny.path, server.port, tiny.public_key))
    assert done.returncode == 2
    assert done.stderr.strip().count("\n") == 0
    assert str(server.port) in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--variant", "int3"], "int3"),
        (["--bundle", "/nonexistent"], "no such folder"),
        (["--port", "99999"], "99999"),
        (["--public-key", "/nonexistent"], "/nonexistent"),
        (["--threads", "-1"], "--threads"),
    ],
)
def test_bad_options_are_one_clear_line(options: list[str], said: str) -> None:
    tiny = exported_bundle()
    done = run_to_end([*command(tiny.path, free_port(), tiny.public_key), *options])
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def run_to_end(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
