"""Log lines carry the request; spans continue the caller's trace; nothing heavy loads by itself."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from observability import logs, tracing

pytestmark = pytest.mark.unit

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_line_has_request_id_and_exception() -> None:
    stream = io.StringIO()
    logs.setup("json", "info", stream)
    with logs.bound_request("req-1"):
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("x").exception("failed %d", 7)
    logging.getLogger("x").debug("not shown")
    line = json.loads(stream.getvalue())
    assert (line["message"], line["level"], line["request_id"]) == ("failed 7", "error", "req-1")
    assert "ValueError: broken" in line["exception"]


def test_console_line_is_for_people_and_setup_replaces() -> None:
    stream = io.StringIO()
    logs.setup("json", "info", io.StringIO())
    logs.setup("console", "warning", stream)
    with logs.bound_request("req-2"):
        logging.getLogger("x").warning("slow")
    logging.getLogger("x").info("not shown")
    assert stream.getvalue().endswith("warning x: slow [req-2]\n")
    assert stream.getvalue().count("\n") == 1


def test_span_continues_the_callers_trace_and_hands_it_on() -> None:
    exporter = InMemorySpanExporter()
    traces = tracing.Tracing("gateway", exporter)
    span = traces.start("chat m", {"traceparent": PARENT})
    sent_on = traces.headers_for(span)["traceparent"]
    traces.finish(span, {"gen_ai.request.model": "m", "absent": None}, error="upstream_timeout")
    traces.close()
    (finished,) = exporter.get_finished_spans()
    assert f"{finished.context.trace_id:032x}" == TRACE
    assert sent_on.split("-")[1:3] == [TRACE, f"{finished.context.span_id:016x}"]
    assert finished.parent is not None
    assert finished.attributes == {"gen_ai.request.model": "m", "error.type": "upstream_timeout"}
    assert not finished.status.is_ok


def test_tracing_is_off_without_an_endpoint_and_on_with_one() -> None:
    assert tracing.setup("gateway", {}) is None
    traces = tracing.setup("gateway", {tracing.ENDPOINT_VARIABLE: "http://127.0.0.1:1"})
    assert traces is not None
    traces.close()


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, observability.slo, observability.logs, observability.tracing, observability.metrics;"
        "print([m for m in ('opentelemetry', 'torch', 'msgspec', 'aiohttp', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
