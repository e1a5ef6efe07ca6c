"""One model server as the gateway sees it: is it ready, is it failing, how much does it carry."""

from __future__ import annotations

import logging
from typing import get_args

from prometheus_client import Counter

from observability.metrics import BREAKER_STATES, Metrics
from services.gateway.breaker import Breaker
from services.gateway.config import RouteConfig
from services.gateway.inbound import Endpoint
from services.gateway.slots import Slots
from services.gateway.upstream import Target

log = logging.getLogger(__name__)


class Backend:
    """The run-time state of one configured route."""

    def __init__(self, config: RouteConfig, metrics: Metrics) -> None:
        self.config = config
        self.breaker = Breaker(config.breaker.failures, config.breaker.open_seconds)
        self.slots = Slots(config.max_running, config.max_waiting)
        self.ready: bool | None = None
        """None until /ready was asked for the first time: requests may try."""
        self.bundle_digest = config.bundle_digest
        self.upstream_model = config.upstream_model or config.model
        self._base = Target.parse(str(config.url))
        self.ready_target = self._base.join(config.ready_path)
        self._targets: dict[Endpoint, Target] = {
            endpoint: self._base.join(f"/v1/{endpoint}") for endpoint in get_args(Endpoint)
        }
        self._wire_metrics(metrics)
        self._answer_headers: list[tuple[bytes, bytes]] | None = None

    def _wire_metrics(self, metrics: Metrics) -> None:
        # Children are looked up once: a lookup by labels costs more than the observation.
        labels = (self.config.model, self.config.road)
        self._metrics = metrics
        self.queue = metrics.queue.labels(*labels)
        self.ttft = metrics.ttft.labels(*labels)
        self.tpot = metrics.tpot.labels(*labels)
        self.e2e = metrics.e2e.labels(*labels)
        self.prompt_tokens = metrics.prompt_tokens.labels(*labels)
        self.completion_tokens = metrics.completion_tokens.labels(*labels)
        self.disconnects = metrics.disconnects.labels(*labels)
        self._requests: dict[tuple[str, int], Counter] = {}
        url = self._base.origin
        metrics.ready.labels(*labels, url).set_function(lambda: float(self.ready is True))
        metrics.breaker.labels(*labels, url).set_function(lambda: BREAKER_STATES.index(self.breaker.state))

    def count_request(self, endpoint: str, status: int) -> None:
        """One more answered request."""
        counter = self._requests.get((endpoint, status))
        if counter is None:
            labels = (self.config.model, self.config.road, endpoint, str(status))
            counter = self._requests[endpoint, status] = self._metrics.requests.labels(*labels)
        counter.inc()

    def failed(self, cause: str) -> None:
        """The server failed a request: count it, here and in the breaker."""
        was = self.breaker.state
        self.breaker.failure()
        self._metrics.upstream_errors.labels(self.config.model, self.config.road, cause).inc()
        if was == "closed" and self.breaker.state == "open":
            log.warning("%s: breaker open after %s", self.name, cause)

    def set_ready(self, ready: bool, reason: str) -> None:
        """What /ready said; turning ready lets an open breaker probe at once."""
        if ready is not self.ready:
            log.info("%s: %s (%s)", self.name, "ready" if ready else "not ready", reason)
            if ready:
                self.breaker.recover()
        self.ready = ready

    def learn_bundle(self, digest: str) -> None:
        """The server names its bundle."""
        if digest != self.bundle_digest:
            self.bundle_digest = digest
            self._answer_headers = None

    @property
    def available(self) -> bool:
        """Whether a request may go there now."""
        return self.ready is not False and self.breaker.allows

    @property
    def name(self) -> str:
        """For logs."""
        return f"{self.config.model}@{self.config.road} ({self._base.origin})"

    @property
    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        """Which road and bundle answered, for the client."""
        if self._answer_headers is None:
            self._answer_headers = [(b"x-trivium-road", self.config.road.encode())]
            if self.bundle_digest:
                self._answer_headers.append((b"x-trivium-bundle", self.bundle_digest.encode()))
        return self._answer_headers

    def target(self, endpoint: Endpoint) -> Target:
        """Where to send a request for `endpoint`."""
        return self._targets[endpoint]
