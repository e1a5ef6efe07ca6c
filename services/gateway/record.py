"""Follows one request and turns it into its event, metrics and span attributes at the end."""

from __future__ import annotations

import time

from observability.events import RequestEvent, sha256_hex
from services.gateway.backend import Backend
from services.gateway.errors import GatewayError
from services.gateway.inbound import Completion, Endpoint
from services.gateway.inspector import Inspector

CLIENT_LEFT = 499
"""nginx's status for a client that closed before there was an answer."""


class Record:
    """What is known about a request so far. Clock readings are `time.perf_counter` seconds."""

    def __init__(self, endpoint: Endpoint, request_id: str, arrived: float) -> None:
        self.endpoint: Endpoint = endpoint
        self.request_id = request_id
        self.arrived = arrived
        self.request_bytes = 0
        self.response_bytes = 0
        self.completion: Completion | None = None
        self.backend: Backend | None = None
        self.inspector = Inspector()
        self.status = 0
        self.error_code: str | None = None
        self.client_left = False
        self.queue_seconds: float | None = None
        self.first_token: float | None = None
        self.last_token: float | None = None

    def failed(self, exc: GatewayError) -> None:
        """The request ends in `exc`."""
        self.error_code = exc.code
        if not self.status:
            self.status = exc.status

    def token_left(self) -> None:
        """A chunk with text was handed to the socket."""
        self.last_token = time.perf_counter()
        if self.first_token is None:
            self.first_token = self.last_token

    def observe(self, e2e_seconds: float) -> None:
        """Add the finished request to the metrics of its route."""
        backend, inspector = self.backend, self.inspector
        if backend is None:
            return
        backend.count_request(self.endpoint, self.status)
        backend.e2e.observe(e2e_seconds)
        if self.queue_seconds is not None:
            backend.queue.observe(self.queue_seconds)
        if inspector.prompt_tokens:
            backend.prompt_tokens.inc(inspector.prompt_tokens)
        if self.client_left:
            backend.disconnects.inc()
        tokens = inspector.completion_tokens
        if tokens:
            backend.completion_tokens.inc(tokens)
        if self.first_token is not None and self.last_token is not None:
            backend.ttft.observe(self.first_token - self.arrived)
            if tokens and tokens > 1:
                backend.tpot.observe((self.last_token - self.first_token) / (tokens - 1))

    def event(self, tenant: str, e2e_seconds: float, store_text: bool) -> RequestEvent:
        """The request event; text only where `store_text`."""
        completion, backend, inspector = self.completion, self.backend, self.inspector
        prompt = completion.prompt_json(self.endpoint) if completion else None
        queue, first = self.queue_seconds, self.first_token
        return RequestEvent(
            request_id=self.request_id,
            tenant=tenant,
            model=backend.config.model if backend else "unknown",
            road=backend.config.road if backend else None,
            bundle_digest=backend.bundle_digest if backend else None,
            endpoint=self.endpoint,
            stream=bool(completion and completion.stream),
            status=self.status,
            error_code=self.error_code,
            prompt_tokens=inspector.prompt_tokens,
            completion_tokens=inspector.completion_tokens,
            request_bytes=self.request_bytes,
            response_bytes=self.response_bytes,
            queue_ms=None if queue is None else _ms(queue),
            ttft_ms=None if first is None else _ms(first - self.arrived),
            e2e_ms=_ms(e2e_seconds),
            finish_reason=inspector.finish_reason,
            client_disconnected=self.client_left,
            prompt_sha256=sha256_hex(prompt) if prompt else None,
            response_sha256=inspector.text_sha256,
            prompt=completion.prompt_value(self.endpoint) if completion and store_text else None,
            response=inspector.text if store_text else None,
            max_tokens=completion.max_tokens if completion else None,
            temperature=completion.temperature if completion else None,
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
