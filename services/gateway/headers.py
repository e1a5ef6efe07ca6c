"""Which headers pass, in both directions (RFC 9110, 7.6.1: what belongs to one hop stays there)."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway.upstream import Headers

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
# Made anew for the next hop. `accept-encoding`: the answer must stay readable for counting.
_REQUEST_OWN = HOP_BY_HOP | {
    b"host", b"content-length", b"content-type", b"content-encoding", b"accept-encoding", b"expect",
    b"x-request-id",
}  # fmt: skip
_ANSWER_OWN = HOP_BY_HOP | {
    b"content-length", b"date", b"server", b"x-request-id", b"x-trivium-road", b"x-trivium-bundle",
}  # fmt: skip


def forwarded_headers(headers: Headers, request_id: str, trace_headers: Mapping[str, str]) -> Headers:
    """The client's headers for the model server. The body is JSON by now, whatever the client called it."""
    dropped = _REQUEST_OWN | _named_in_connection(headers) | {name.encode() for name in trace_headers}
    result = [pair for pair in headers if pair[0] not in dropped]
    result += ((b"content-type", b"application/json"), (b"x-request-id", request_id.encode()))
    result += ((name.encode(), value.encode()) for name, value in trace_headers.items())
    return result


def returned_headers(headers: Headers) -> Headers:
    """The model server's headers for the client."""
    dropped = _ANSWER_OWN | _named_in_connection(headers)
    return [pair for pair in headers if pair[0] not in dropped]


def header(headers: Headers, name: bytes) -> bytes:
    """The value of the first header called `name`; empty where there is none."""
    for key, value in headers:
        if key == name:
            return value
    return b""


def _named_in_connection(headers: Headers) -> frozenset[bytes]:
    values = [value for name, value in headers if name == b"connection"]
    if not values:
        return frozenset()
    return frozenset(name.strip().lower() for value in values for name in value.split(b","))
