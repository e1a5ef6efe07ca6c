"""The trace span of one request; without tracing every call does nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from observability.tracing import TRACE_HEADERS, Tracing
from services.gateway.record import Record

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_NO_HEADERS: dict[str, str] = {}


class RequestSpan:
    """Names follow OpenTelemetry's generative AI conventions."""

    def __init__(self, tracing: Tracing | None, headers: list[tuple[bytes, bytes]]) -> None:
        self._tracing = tracing
        self._inbound = headers
        self._span: Span | None = None

    def start(self, record: Record) -> None:
        """Begin, now that the model is known."""
        if self._tracing is None or record.backend is None:
            return
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in self._inbound
            if name.decode("latin-1") in TRACE_HEADERS
        }
        self._span = self._tracing.start(f"{_operation(record)} {record.backend.config.model}", carrier)

    def headers(self) -> Mapping[str, str]:
        """What to send on, so that the model server's spans become children."""
        if self._tracing is None or self._span is None:
            return _NO_HEADERS
        return self._tracing.headers_for(self._span)

    def finish(self, record: Record) -> None:
        """End the span with what `record` knows."""
        if self._tracing is None or self._span is None or record.backend is None:
            return
        ttft = None if record.first_token is None else record.first_token - record.arrived
        attributes = {
            "gen_ai.operation.name": _operation(record),
            "gen_ai.provider.name": "trivium",
            "gen_ai.request.model": record.backend.config.model,
            "gen_ai.request.max_tokens": record.completion.max_tokens if record.completion else None,
            "gen_ai.request.temperature": record.completion.temperature if record.completion else None,
            "gen_ai.usage.input_tokens": record.inspector.prompt_tokens,
            "gen_ai.usage.output_tokens": record.inspector.completion_tokens,
            "gen_ai.response.time_to_first_chunk": ttft,
            "http.response.status_code": record.status,
            "trivium.road": record.backend.config.road,
            "trivium.bundle_digest": record.backend.bundle_digest,
            "trivium.request_id": record.request_id,
            "trivium.queue_seconds": record.queue_seconds,
        }
        self._tracing.finish(self._span, attributes, record.error_code)


def _operation(record: Record) -> str:
    return "chat" if record.endpoint == "chat/completions" else "text_completion"
