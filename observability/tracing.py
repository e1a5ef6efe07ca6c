"""OpenTelemetry set-up: spans go to OTEL_EXPORTER_OTLP_ENDPOINT; without that variable nothing is loaded.

W3C trace context (https://www.w3.org/TR/trace-context/) is continued from the caller and handed on to
the model server. Without an endpoint the caller's `traceparent` still passes through, as any header.
Attribute names: OpenTelemetry semantic conventions for generative AI, 2026-06.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE_HEADERS = ("traceparent", "tracestate")


class Tracing:
    """Makes one server span per request. Build it with `setup`."""

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # Not the global provider: two servers in one process (tests) must not share one.
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("trivium")
        self._propagator = TraceContextTextMapPropagator()

    def start(self, name: str, headers: Mapping[str, str]) -> Span:
        """A server span named `name`, child of the caller's `traceparent` where there is one. End it."""
        from opentelemetry.trace import SpanKind

        return self._tracer.start_span(name, self._propagator.extract(headers), kind=SpanKind.SERVER)

    def headers_for(self, span: Span) -> dict[str, str]:
        """The trace headers to send on, naming `span` as the parent."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier

    def finish(
        self, span: Span, attributes: Mapping[str, str | int | float | None], error: str | None
    ) -> None:
        """End `span` with those attributes that have a value; `error` marks it failed."""
        from opentelemetry.trace import Status, StatusCode

        span.set_attributes({key: value for key, value in attributes.items() if value is not None})
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Send what is waiting and stop."""
        self._provider.shutdown()


def setup(service: str, environ: Mapping[str, str] = os.environ) -> Tracing | None:
    """Tracing to the OTLP/HTTP endpoint that `environ` names, or None where it names none."""
    if not environ.get(ENDPOINT_VARIABLE):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return Tracing(service, OTLPSpanExporter(endpoint=f"{environ[ENDPOINT_VARIABLE].rstrip('/')}/v1/traces"))
