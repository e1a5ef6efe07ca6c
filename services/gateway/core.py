"""The composition root: builds every part of a gateway from its configuration and closes them again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from observability import tracing
from observability.event_log import EventLog
from observability.events import RequestEvent
from observability.metrics import Metrics
from services.gateway.backend import Backend
from services.gateway.config import GatewayConfig
from services.gateway.health import HealthPoller
from services.gateway.pool import PooledUpstream
from services.gateway.proxy import Proxy
from services.gateway.routing import RouteTable
from services.gateway.upstream import Upstream


class Gateway:
    """Everything but HTTP. Call `startup` inside the event loop, `aclose` at the end (twice is fine)."""

    def __init__(
        self,
        config: GatewayConfig,
        upstream: Upstream | None = None,
        write_event: Callable[[RequestEvent], None] | None = None,
    ) -> None:
        """`upstream` and `write_event` take the place of sockets and of the configured event file.

        Raises EventError where that file cannot be written.
        """
        self.config = config
        self.stopping = False
        """Set when SIGTERM arrives: not ready, and new requests are refused."""
        self.metrics = Metrics(CollectorRegistry())
        self._upstream = upstream or PooledUpstream(config.keep_alive_seconds)
        self._tracing = tracing.setup("trivium-gateway")
        self._events = self._open_events() if write_event is None else None
        backends = [Backend(route, self.metrics) for route in config.routes]
        self.proxy = Proxy(
            RouteTable(backends), self._upstream,
            max_answer_bytes=config.limits.max_answer_bytes, tenant=config.tenant,
            store_text=config.events.store_text, tracing=self._tracing,
            write_event=self._events.write if self._events is not None else write_event,
        )  # fmt: skip
        self._poller = HealthPoller(backends, self._upstream)

    def startup(self) -> None:
        """Begin to watch the model servers."""
        self._poller.start()

    async def aclose(self) -> None:
        """Stop watching, close connections, write what is left of events and spans."""
        await self._poller.aclose()
        await self._upstream.aclose()
        for part in (self._events, self._tracing):
            if part is not None:
                await asyncio.to_thread(part.close)

    def _open_events(self) -> EventLog | None:
        events = self.config.events
        if events.path is None:
            return None
        return EventLog(
            events.path, max_bytes=events.max_bytes, keep=events.keep, on_drop=self.metrics.events_dropped.inc
        )
