"""The running server's figures: cold start, memory, and throughput at several numbers of streams."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bundle import Bundle
from bundle.keys import default_public_key
from common.errors import TriviumError
from common.processes import ServerProcess, free_port

if TYPE_CHECKING:
    from edge.bench import BenchOptions

CONCURRENCY = (1, 4, 8)
MEGABYTE = 1e6


@dataclass(frozen=True)
class ServerFigures:
    """One variant's server. Memory counts the process and its children."""

    variant: str
    artifact_megabytes: float
    ready_seconds: list[float]
    """Process start to the first 200 of /ready, verification included; one value per start."""
    rss_ready_megabytes: float
    rss_loaded_megabytes: float
    tokens_per_second: dict[int, list[float]]
    """By number of concurrent streams, one value per repeat."""

    def row(self) -> str:
        """A line of the Markdown table."""
        speeds = " / ".join(f"{statistics.median(v):,.0f}" for v in self.tokens_per_second.values())
        ready = statistics.median(self.ready_seconds)
        return (
            f"| {self.variant} | {self.artifact_megabytes:.2f} | {ready:.2f} "
            f"| {self.rss_ready_megabytes:.0f} | {self.rss_loaded_megabytes:.0f} | {speeds} |"
        )


def measure_server(
    bundle: Bundle, variant: str, options: BenchOptions, threads: int, scratch: Path
) -> ServerFigures:
    """Start the server three times; load the last one. Raises TriviumError when it does not start."""
    ready: list[float] = []
    for start in range(3):
        port = free_port()
        server = _server(options.python, bundle, variant, threads, port, scratch / f"{variant}-{start}.log")
        with server:
            ready.append(server.wait_ready(60))
            if start < 2:
                continue
            rss_ready = server.rss_bytes() / MEGABYTE
            prompts = [golden.prompt_token_ids for golden in bundle.manifest.golden]
            _load(port, bundle.model_id, prompts, 1, options.new_tokens)
            speeds: dict[int, list[float]] = {streams: [] for streams in CONCURRENCY}
            for _ in range(options.repeats):
                for streams, values in speeds.items():
                    values.append(_load(port, bundle.model_id, prompts, streams, options.new_tokens))
            rss_loaded = server.rss_bytes() / MEGABYTE
    size = bundle.artifact_bytes(variant) / MEGABYTE
    return ServerFigures(variant, size, ready, rss_ready, rss_loaded, speeds)


def _server(python: Path, bundle: Bundle, variant: str, threads: int, port: int, log: Path) -> ServerProcess:
    command = [
        str(python), "-m", "edge", "serve", "--bundle", str(bundle.path), "--variant", variant,
        "--port", str(port), "--threads", str(threads), "--public-key", str(default_public_key()),
    ]  # fmt: skip
    return ServerProcess(command, log=log, ready_url=f"http://127.0.0.1:{port}/ready")


def _load(port: int, model: str, prompts: Sequence[list[int]], streams: int, new_tokens: int) -> float:
    """Completion tokens per second over `streams` connections with four requests each."""
    counts: list[int] = []

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for request in range(4):
            prompt = prompts[(number + request) % len(prompts)]
            body: dict[str, Any] = {
                "model": model, "prompt": prompt, "max_tokens": new_tokens, "temperature": 0, "stream": True,
                "ignore_eos": True, "stream_options": {"include_usage": True},
            }  # fmt: skip
            connection.request(
                "POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"}
            )
            events = connection.getresponse().read().split(b"\n\n")
            usage = json.loads(events[-3].removeprefix(b"data: "))["usage"]
            counts.append(usage["completion_tokens"])
        connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(streams)]
    started = time.perf_counter()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    seconds = time.perf_counter() - started
    if len(counts) != 4 * streams:
        raise TriviumError(
            f"{4 * streams - len(counts)} of {4 * streams} requests failed; see the server's log"
        )
    return sum(counts) / seconds
