"""What the gateway adds: a fake backend alone against the same backend through the gateway, and a peer.

    python -m services.gateway.bench --output reports/gateway            # make bench-gateway

Load generator (wrk, one thread), gateway and backend share this machine's cores; everything listens on
loopback. Every repeat visits all targets before the next repeat, so that a noisy minute hits all of
them. The peer is vllm-router (Rust) from PyPI in a throw-away environment where `uv` is found, or
whatever `--peer-command` starts ("{backend}" and "{port}" are filled in; it must answer /health).
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from common import cli
from common.errors import TriviumError
from common.files import atomic_write
from common.processes import ServerProcess, free_port

PEER = "vllm-router==0.1.17"
TOKENS = 16
CONNECTIONS = (1, 16)
MAX_ADDED_P50_MS = 3.0
MIN_REQUESTS_PER_SECOND = 1500.0
SCRIPT = Path(__file__).with_name("bench.lua")
ROOT = Path(__file__).parents[2]


class BenchError(TriviumError):
    """The measurement cannot be made, or is not valid."""


@dataclass(frozen=True)
class Cell:
    """One target in one situation: medians over the repeats, and their range."""

    target: str
    stream: bool
    connections: int
    n: int
    """Repeats."""
    p50_ms: float
    p50_ms_range: tuple[float, float]
    p99_ms: float
    requests_per_second: float
    requests_per_second_range: tuple[float, float]
    added_p50_ms: float | None
    """p50 minus the backend's own, medians; None for the backend."""


@contextmanager
def running(folder: Path, name: str, command: list[str], ready_url: str) -> Iterator[None]:
    """A server as a child process while the block runs."""
    with ServerProcess(command, log=folder / f"{name}.log", ready_url=ready_url, cwd=ROOT) as server:
        server.wait_ready(60)
        yield


def start_all(stack: ExitStack, folder: Path, peer_command: str | None) -> dict[str, str]:
    """Start backend, gateway and peer; their base URLs by name."""
    ports = {name: free_port() for name in ("backend", "gateway")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    backend = [
        sys.executable,
        "-m",
        "tests.fakes.backend",
        "--port",
        str(ports["backend"]),
        "--tokens",
        str(TOKENS),
    ]
    stack.enter_context(running(folder, "backend", backend, f"{urls['backend']}/ready"))
    config = folder / "gateway.yaml"
    # The events are written, as in service: what is measured is the whole gateway.
    routes = [{"model": "fake", "road": "onprem", "url": urls["backend"]}]
    config.write_text(json.dumps({"routes": routes, "events": {"path": str(folder / "events.jsonl")}}))
    gateway = [
        sys.executable,
        "-m",
        "services.gateway",
        "--config",
        str(config),
        "--port",
        str(ports["gateway"]),
    ]
    stack.enter_context(running(folder, "gateway", gateway, f"{urls['gateway']}/ready"))
    if peer_command is not None:
        port = free_port()
        urls["peer"] = f"http://127.0.0.1:{port}"
        command = shlex.split(peer_command.format(backend=urls["backend"], port=port))
        stack.enter_context(running(folder, "peer", command, f"{urls['peer']}/health"))
    return urls


def install_peer(folder: Path) -> str | None:
    """vllm-router in an environment under `folder`; its command, or None where it cannot be had."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        print("peer: no `uv` on the path, measuring without one")
        return None
    environment = folder / "peer-venv"
    for command in (
        [uv, "venv", "-q", str(environment)],
        [uv, "pip", "install", "-q", "-p", str(environment), PEER],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        if done.returncode != 0:
            print(f"peer: {PEER} could not be installed, measuring without it")
            return None
    router = environment / "bin" / "vllm-router"
    return f"{router} --host 127.0.0.1 --port {{port}} --worker-urls {{backend}} --policy round_robin"


def measure(url: str, stream: bool, connections: int, seconds: int) -> dict[str, float]:
    """One run of wrk. Raises BenchError where any answer was not a 2xx."""
    messages = [{"role": "user", "content": "name: Harbour Lantern"}]
    environment = os.environ | {
        "BENCH_BODY": json.dumps({"model": "fake", "messages": messages, "stream": stream})
    }
    target = f"{url}/v1/chat/completions"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT), target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, env=environment)
    line = next((line for line in done.stdout.splitlines() if line.startswith("BENCH ")), None)
    if line is None:
        raise BenchError(f"wrk failed: {(done.stderr or done.stdout).strip().splitlines()[:1]}")
    figures: dict[str, float] = json.loads(line.removeprefix("BENCH "))
    if figures["errors"] or not figures["requests"]:
        raise BenchError(f"{url}: {figures['errors']:.0f} of {figures['requests']:.0f} requests failed")
    return figures


def run_all(urls: dict[str, str], repeats: int, seconds: int) -> list[Cell]:
    """Every target, streaming or not, at every number of connections, interleaved."""
    situations = [(stream, connections) for stream in (False, True) for connections in CONNECTIONS]
    for url in urls.values():
        measure(url, True, 4, 1)  # warm up
    runs: dict[tuple[str, bool, int], list[dict[str, float]]] = {}
    for repeat in range(repeats):
        print(f"repeat {repeat + 1} of {repeats} …", flush=True)
        for stream, connections in situations:
            for name, url in urls.items():
                runs.setdefault((name, stream, connections), []).append(
                    measure(url, stream, connections, seconds)
                )
    cells = []
    for (name, stream, connections), samples in runs.items():
        alone = statistics.median(sample["p50_us"] for sample in runs["backend", stream, connections]) / 1000
        cells.append(_cell(name, stream, connections, samples, None if name == "backend" else alone))
    return cells


def _cell(
    name: str, stream: bool, connections: int, samples: list[dict[str, float]], alone_ms: float | None
) -> Cell:
    p50s = [sample["p50_us"] / 1000 for sample in samples]
    rates = [sample["requests"] / sample["seconds"] for sample in samples]
    p50 = statistics.median(p50s)
    return Cell(
        target=name, stream=stream, connections=connections, n=len(samples),
        p50_ms=p50, p50_ms_range=(min(p50s), max(p50s)),
        p99_ms=statistics.median(sample["p99_us"] / 1000 for sample in samples),
        requests_per_second=statistics.median(rates), requests_per_second_range=(min(rates), max(rates)),
        added_p50_ms=None if alone_ms is None else p50 - alone_ms,
    )  # fmt: skip


def table(cells: list[Cell]) -> str:
    """For people."""
    head = ("target", "answer", "conn.", "p50 ms (range)", "added", "p99 ms", "requests/s (range)")
    rows = [head]
    for cell in cells:
        low, high = cell.requests_per_second_range
        rows.append((
            cell.target,
            "stream" if cell.stream else "whole",
            str(cell.connections),
            f"{cell.p50_ms:.2f} ({cell.p50_ms_range[0]:.2f}-{cell.p50_ms_range[1]:.2f})",
            "" if cell.added_p50_ms is None else f"{cell.added_p50_ms:+.2f}",
            f"{cell.p99_ms:.2f}",
            f"{cell.requests_per_second:,.0f} ({low:,.0f}-{high:,.0f})",
        ))  # fmt: skip
    return "\n".join("{:9} {:7} {:>5} {:>20} {:>7} {:>8} {:>24}".format(*row) for row in rows)


def verdict(cells: list[Cell]) -> dict[str, Any]:
    """The two figures to reach, at 16 connections, whole answers."""
    cell = next(
        c for c in cells if (c.target, c.stream, c.connections) == ("gateway", False, max(CONNECTIONS))
    )
    assert cell.added_p50_ms is not None
    return {
        "added_p50_ms": cell.added_p50_ms, "added_p50_ms_max": MAX_ADDED_P50_MS,
        "requests_per_second": cell.requests_per_second, "requests_per_second_min": MIN_REQUESTS_PER_SECOND,
        "met": cell.added_p50_ms < MAX_ADDED_P50_MS and cell.requests_per_second >= MIN_REQUESTS_PER_SECOND,
    }  # fmt: skip


def main(
    output: Annotated[Path | None, typer.Option(help="folder for bench.json")] = None,
    repeats: Annotated[int, typer.Option(min=3, max=50)] = 3,
    seconds: Annotated[int, typer.Option(min=1, max=30, help="per measurement")] = 2,
    peer: Annotated[bool, typer.Option(help="measure vllm-router too")] = True,
    peer_command: Annotated[str | None, typer.Option(help="start another peer with this")] = None,
) -> None:
    """Measure, print a table, write JSON; exit code 1 where a figure is missed."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed; it is a package of Debian and Ubuntu: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="trivium-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        command = peer_command or (install_peer(folder) if peer else None)
        urls = start_all(stack, folder, command)
        cells = run_all(urls, repeats, seconds)
    reached = verdict(cells)
    result = {
        "cores": os.cpu_count(),
        "tokens": TOKENS,
        "repeats": repeats,
        "seconds": seconds,
        "peer": peer_command or (PEER if command else None),
        "verdict": reached,
        "cells": [asdict(cell) for cell in cells],
    }
    print(table(cells))
    print(
        f"16 connections: added p50 {reached['added_p50_ms']:.2f} ms (below {MAX_ADDED_P50_MS:g}), "
        f"{reached['requests_per_second']:,.0f} requests/s (at least {MIN_REQUESTS_PER_SECOND:,.0f}): "
        f"{'met' if reached['met'] else 'MISSED'}"
    )
    if output is not None:
        atomic_write(output / "bench.json", json.dumps(result, indent=2) + "\n")
    if not reached["met"]:
        sys.exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    cli.run(app)
