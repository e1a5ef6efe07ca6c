"""Runs the gateway on uvicorn: sockets, signals, shutdown."""

from __future__ import annotations

from types import FrameType

import uvicorn

from common.processes import require_free_port
from observability import logs
from services.gateway.app import GatewayApp
from services.gateway.config import GatewayConfig
from services.gateway.core import Gateway


class GatewayServer(uvicorn.Server):
    """uvicorn, telling the gateway at once when a signal asks it to stop."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: refuse new requests, let running ones finish. Second Ctrl-C: stop now."""
        self._gateway.stopping = True
        super().handle_exit(sig, frame)


def serve(config: GatewayConfig, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises ServerError (port in use) and EventError before it starts."""
    logs.setup(config.log_format, config.log_level)
    require_free_port(host, port)
    gateway = Gateway(config)
    settings = uvicorn.Config(
        GatewayApp(gateway), host=host, port=port, http="httptools", loop="uvloop", ws="none", lifespan="on",
        access_log=False, log_config=None, server_header=False, proxy_headers=False, backlog=2048,
        timeout_graceful_shutdown=config.shutdown_seconds, timeout_keep_alive=75,
    )  # fmt: skip
    GatewayServer(settings, gateway).run()
