"""Logging set-up, once for every server: JSON lines for machines or short lines for people.

logs.setup("json", "info")
with logs.bound_request("req-1"): log.warning("slow")    # {"…", "request_id": "req-1"}
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Literal

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that the running task works on."""


@contextmanager
def bound_request(identifier: str) -> Iterator[None]:
    """Every line logged inside carries `identifier`."""
    token = request_id.set(identifier)
    try:
        yield
    finally:
        request_id.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, request_id, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record`."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (identifier := request_id.get()) is not None:
            fields["request_id"] = identifier
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class ConsoleFormatter(logging.Formatter):
    """`12:00:01 warning services.gateway: text [request id]`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record`."""
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        text = f"{clock} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        if (identifier := request_id.get()) is not None:
            text += f" [{identifier}]"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def setup(form: LogFormat = "console", level: LogLevel = "info", stream: IO[str] | None = None) -> None:
    """Send every logger to `stream` (default stderr). Calling it again replaces the set-up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
