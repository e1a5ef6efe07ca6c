"""The kinds of roads: a server process started here, an endpoint elsewhere, and a network before one."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.processes import ServerProcess, free_port
from roads.base import Road
from roads.errors import RoadError

ROOT = Path(__file__).resolve().parent.parent
RELAY_READY_SECONDS = 20.0
# More than a server's own time to drain (services/llm: drain_seconds), so that it ends by itself.
STOP_GRACE_SECONDS = 30.0


class ProcessRoad(Road):
    """A server that runs here as a child process."""

    def __init__(
        self, command: Sequence[str], *, address: tuple[str, int], log: Path, artifact_bytes: int,
        start_timeout_seconds: float, env: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        host, port = address
        self.base_url = f"http://{host}:{port}"
        self.artifact_bytes = artifact_bytes
        self._timeout = start_timeout_seconds
        self.command = list(command)
        self._process = ServerProcess(command, log=log, ready_url=f"{self.base_url}/ready", env=env)

    def start(self) -> None:
        """Start the server and wait for `/ready`. Raises ServerError with the end of its log."""
        self._process.start()
        self.cold_start_seconds = self._process.wait_ready(self._timeout)

    def stop(self) -> None:
        """End the server and all its descendants."""
        self._process.stop(STOP_GRACE_SECONDS)

    def rss_bytes(self) -> int:
        """Of the whole process tree; shared pages count once."""
        return self._process.rss_bytes()


class UrlRoad(Road):
    """An endpoint that somebody else runs, for example a cluster's."""

    def __init__(self, url: str, *, bundle_digest: str, artifact_bytes: int, wait_seconds: float) -> None:
        self.base_url = url.rstrip("/")
        self.artifact_bytes = artifact_bytes
        self._digest = bundle_digest
        self._wait_seconds = wait_seconds

    def start(self) -> None:
        """Wait for `/ready` and check that it serves this bundle.

        `cold_start_seconds` is the time waited here: next to nothing where the endpoint runs already.
        Raises RoadError when it is not ready in time or serves another bundle.
        """
        began = time.monotonic()
        while (ready := _get_json(f"{self.base_url}/ready")) is None:
            if time.monotonic() - began > self._wait_seconds:
                raise RoadError(
                    f"{self.base_url}/ready: no 200 within {self._wait_seconds:.0f} s; is it running?"
                )
            time.sleep(0.2)
        self.cold_start_seconds = time.monotonic() - began
        served = ready.get("bundle_digest")
        if served != self._digest:
            raise RoadError(f"{self.base_url} serves bundle {served}, not {self._digest}")

    def stop(self) -> None:
        """Leave the endpoint as it is."""

    def rss_bytes(self) -> int:
        """What the endpoint's own metrics say (one process); 0 where they say nothing."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/metrics", timeout=5) as response:
                text = response.read().decode()
        except (OSError, ValueError):
            return 0
        found = [
            line.split()[-1] for line in text.splitlines() if line.startswith("process_resident_memory_bytes")
        ]
        return int(sum(float(value) for value in found))


class SimulatedNetworkRoad(Road):
    """A road whose clients reach it through a relay with a region's delay, jitter and bandwidth."""

    simulated = ("network",)

    def __init__(self, server: ProcessRoad, *, profile: str, config: Path, host: str, log: Path) -> None:
        self._server = server
        self.artifact_bytes = server.artifact_bytes
        port = free_port(host)
        self.base_url = f"http://{host}:{port}"
        upstream = server.base_url.removeprefix("http://")
        command = [
            sys.executable, "-m", "roads", "network", "--listen", f"{host}:{port}", "--upstream", upstream,
            "--config", str(config), "--profile", profile,
        ]  # fmt: skip
        self._relay = ServerProcess(
            command, log=log, ready_url=f"{self.base_url}/ready", env={"PYTHONPATH": str(ROOT)}
        )

    def start(self) -> None:
        """Start the server, then the relay. The cold start is the server's; the relay is no part of it."""
        self._server.start()
        self.cold_start_seconds = self._server.cold_start_seconds
        self._relay.start()
        self._relay.wait_ready(RELAY_READY_SECONDS)

    def stop(self) -> None:
        """End the relay, then the server."""
        try:
            self._relay.stop()
        finally:
            self._server.stop()

    def rss_bytes(self) -> int:
        """Of the server; the relay stands for a network and has none."""
        return self._server.rss_bytes()


def _get_json(url: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            content = json.loads(response.read())
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return content if isinstance(content, dict) else None
