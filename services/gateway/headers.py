"""Which headers pass, in both directions (RFC 9110, 7.6.1: what belongs to one hop stays there)."""

from __future__ import annotations

from collections.abc import Mapping

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
     "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip
# Made anew for the next hop. `accept-encoding`: the answer must stay readable for counting.
_REQUEST_OWN = HOP_BY_HOP | {
    "host",
    "content-length",
    "content-type",
    "accept-encoding",
    "expect",
    "x-request-id",
}
_ANSWER_OWN = HOP_BY_HOP | {
    "content-length",
    "date",
    "server",
    "x-request-id",
    "x-trivium-road",
    "x-trivium-bundle",
}


def forwarded_headers(
    headers: list[tuple[bytes, bytes]], request_id: str, trace_headers: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The client's headers for the model server. The body is JSON by now, whatever the client called it."""
    result = [("content-type", "application/json"), ("x-request-id", request_id)]
    named = _named_in_connection(headers)
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1")
        if name not in _REQUEST_OWN and name not in named and name not in trace_headers:
            result.append((name, raw_value.decode("latin-1")))
    result.extend(trace_headers.items())
    return result


def returned_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The model server's headers for the client."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    result = []
    for name, value in headers.items():
        lower = name.lower()
        if lower not in _ANSWER_OWN and lower not in named:
            result.append((lower.encode("latin-1"), value.encode("utf-8", "surrogateescape")))
    return result


def _named_in_connection(headers: list[tuple[bytes, bytes]]) -> set[str]:
    values = [value.decode("latin-1") for name, value in headers if name == b"connection"]
    return {name.strip().lower() for value in values for name in value.split(",")}
