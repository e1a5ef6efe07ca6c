"""What the engines do behind the API: stop when a client leaves, count, stay small; and how starts fail."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from common.processes import free_port
from services.llm.boot import listen
from tests.fixtures.tiny_bundle import TinyBundle
from tests.integration.llm.conftest import Served

pytestmark = pytest.mark.integration

GIB = 1024**3


def metric(served: Served, name: str) -> float:
    """The sum of a metric's samples."""
    text = requests.get(f"{served.url}/metrics", timeout=10).text
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    assert lines, f"no {name} in /metrics"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_generation_stops_when_the_client_leaves(served: Served) -> None:
    before = metric(served, "vllm:generation_tokens_total")
    request: dict[str, Any] = {
        "model": "tiny", "prompt": "The", "max_tokens": 240, "stream": True, "ignore_eos": True, "n": 48,
        "temperature": 1.0,
    }  # fmt: skip
    with requests.post(f"{served.url}/v1/completions", json=request, stream=True, timeout=30) as answer:
        assert next(answer.iter_lines()).startswith(b"data: ")
    assert until(lambda: metric(served, "vllm:num_requests_running") == 0)
    # All of it would be 48 x 240 tokens.
    assert metric(served, "vllm:generation_tokens_total") - before < 48 * 240 / 2


def test_many_requests_at_once_are_batched(served: Served) -> None:
    before = metric(served, "vllm:generation_tokens_total")
    body: dict[str, Any] = {"model": "tiny", "prompt": ["The"] * 32, "max_tokens": 8, "ignore_eos": True}
    answer = requests.post(f"{served.url}/v1/completions", json=body, timeout=60)
    assert len(answer.json()["choices"]) == 32
    assert until(lambda: metric(served, "vllm:generation_tokens_total") - before == 32 * 8)


def test_a_road_stays_within_its_memory_and_tells_its_start(served: Served) -> None:
    limit = {"cloud": 2 * GIB, "onprem": 3 * GIB}[served.name]
    assert GIB / 4 < served.road.rss_bytes() < limit
    assert served.road.cold_start_seconds > 1
    assert served.road.simulated == (("network",) if served.name == "cloud" else ())


def test_the_simulated_network_delays_every_answer(cloud: Served) -> None:
    with requests.Session() as session:
        session.get(f"{cloud.url}/health", timeout=10)
        times = []
        for _ in range(10):
            began = time.perf_counter()
            session.get(f"{cloud.url}/health", timeout=10)
            times.append(time.perf_counter() - began)
    # 35 ms and the jitter: the median of ten cannot be far below.
    assert sorted(times)[5] > 0.028


@pytest.mark.parametrize("engine", ["vllm", "ray"])
def test_a_changed_bundle_is_refused_before_anything_is_loaded(
    tiny_bundle: TinyBundle, tmp_path: Path, engine: str
) -> None:
    import shutil

    changed = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.path, changed)
    with (changed / "model" / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"\x55")
    done = start(changed, tiny_bundle.public_key, free_port(), engine)
    assert done.returncode == 2
    assert done.stderr.strip().startswith("error: ")
    assert "model.safetensors" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told_at_once(tiny_bundle: TinyBundle) -> None:
    with listen("127.0.0.1", 0) as taken:
        done = start(tiny_bundle.path, tiny_bundle.public_key, taken.getsockname()[1], "ray")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: 127.0.0.1:")
    assert "Traceback" not in done.stderr


def start(bundle: Path, key: Path, port: int, engine: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "services.llm", "--bundle", str(bundle), "--public-key", str(key),
        "--port", str(port), "--engine", engine,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
