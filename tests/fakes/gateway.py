"""Real processes for integration tests: a gateway and fake backends on free ports, as child processes."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from common.processes import ServerProcess, free_port

PROMPT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class BackendProcess(ServerProcess):
    """A fake model server; stop it and `start` again and it has the same port."""

    def __init__(self, folder: Path, *arguments: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            sys.executable,
            "-m",
            "tests.fakes.backend",
            "--port",
            str(self.port),
            "--model",
            "m",
            *arguments,
        ]
        super().__init__(command, log=folder / f"backend-{self.port}.log", ready_url=f"{self.url}/ready")

    def stats(self) -> dict[str, Any]:
        """What it has seen."""
        with urllib.request.urlopen(f"{self.url}/fake/stats", timeout=5) as response:
            content: dict[str, Any] = json.load(response)
        return content


class GatewayProcess(ServerProcess):
    """A gateway in front of `backend_url` as model `m`, road `onprem`."""

    def __init__(
        self, folder: Path, backend_url: str, *, route: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.events = folder / "events.jsonl"
        defaults = {"model": "m", "road": "onprem", "url": backend_url, "ready_every_seconds": 0.2}
        config = {"routes": [defaults | (route or {})], "events": {"path": str(self.events)}, **settings}
        file = folder / "gateway.yaml"
        file.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "services.gateway", "--config", str(file), "--port", str(self.port)]
        super().__init__(command, log=folder / "gateway.log", ready_url=f"{self.url}/health")


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until `condition` holds. Raises AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
