"""The request event: one record for every request that leaves the gateway.

Audit, drift, shadow comparison, replay and cost read this one schema. Times are milliseconds since the
request's first byte arrived; a field is null where it does not apply (no usage, no stream, no answer).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from common.errors import TriviumError

SCHEMA = "trivium.request/v1"


class EventError(TriviumError):
    """A file of request events holds something else, or cannot be written."""


class RequestEvent(msgspec.Struct, kw_only=True):
    """One finished (or failed) request."""

    schema: str = SCHEMA
    request_id: str
    time: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    """When the event was made, RFC 3339, UTC."""
    tenant: str
    model: str
    """As configured; "unknown" where the request named none that there is."""
    road: str | None = None
    bundle_digest: str | None = None
    endpoint: str
    """"chat/completions" or "completions"."""
    stream: bool = False
    status: int = 0
    """HTTP status of the answer; 499 where the client left before there was one."""
    error_code: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """From the server's usage, else the number of chunks that carried text."""
    request_bytes: int = 0
    response_bytes: int = 0
    queue_ms: float | None = None
    ttft_ms: float | None = None
    """First token handed to the socket; null where the answer does not stream."""
    e2e_ms: float | None = None
    finish_reason: str | None = None
    client_disconnected: bool = False
    prompt_sha256: str | None = None
    """Of the JSON value of `messages` or `prompt` as the client wrote it."""
    response_sha256: str | None = None
    """Of the generated text (UTF-8; several choices joined by a newline)."""
    prompt: Any = None
    response: str | None = None
    guard: dict[str, Any] | None = None
    max_tokens: int | None = None
    temperature: float | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(RequestEvent)


def encode(event: RequestEvent) -> bytes:
    """The event as one JSON line, newline included."""
    return _encoder.encode(event) + b"\n"


def sha256_hex(content: bytes) -> str:
    """The SHA-256 of `content`, as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def read_events(path: Path) -> Iterator[RequestEvent]:
    """The events of a JSONL file, in order. Raises EventError naming the line that is none."""
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                yield _decode(line, path, number)
    except OSError as exc:
        raise EventError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def _decode(line: bytes, path: Path, number: int) -> RequestEvent:
    try:
        event = _decoder.decode(line)
    except msgspec.DecodeError as exc:
        raise EventError(f"{path}:{number}: not a request event: {exc}") from exc
    if event.schema != SCHEMA:
        raise EventError(f"{path}:{number}: schema {event.schema!r}; this version reads {SCHEMA!r}")
    return event
