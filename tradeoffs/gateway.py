"""The gateway as a child process in front of one road."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from common.files import atomic_write
from common.processes import ServerProcess, free_port

READY_SECONDS = 30.0


@contextmanager
def gateway_to(url: str, *, model: str, road: str, bundle_digest: str, folder: Path) -> Iterator[str]:
    """Start a gateway whose only route is `url`; yields its base URL. Events and log go to `folder`.

    Raises ServerError where it does not become ready.
    """
    port = free_port()
    route = {"model": model, "road": road, "url": url, "bundle_digest": bundle_digest}
    config = {"routes": [route], "events": {"path": str(folder / "events.jsonl")}}
    atomic_write(folder / "gateway.yaml", yaml.safe_dump(config))
    command = [sys.executable, "-m", "services.gateway", "--config", str(folder / "gateway.yaml")]
    base_url = f"http://127.0.0.1:{port}"
    server = ServerProcess(
        [*command, "--port", str(port)], log=folder / "gateway.log", ready_url=f"{base_url}/ready"
    )
    with server:
        server.wait_ready(READY_SECONDS)
        yield base_url
