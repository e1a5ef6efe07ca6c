"""Every answer that is an error: HTTP status and public code stand on the class.

GatewayError
├── ClientError            the request is wrong: 400 BadRequest, 404 NotFound and ModelNotFound,
│                          405 MethodNotAllowed, 408 BodyTimeout and ClientStalled, 413 BodyTooLarge
├── Overloaded             429: the route's queue is full
├── Unavailable            503: no model server is ready, or the wait was too long
│   └── Stopping           503: the gateway stops
├── UpstreamError          the model server failed
│   ├── ConnectFailed      502: nothing answers; nothing was sent, so another attempt is safe
│   ├── ConnectTimeout     504: the same, after waiting
│   ├── UpstreamBroke      502: the connection broke, or the answer is none
│   └── UpstreamTimeout    504: no token, no next chunk, or no end in time
└── InternalError          500: a fault of ours; the body is constant
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class GatewayError(Exception):
    """Base. The text is shown to the client, so it names nothing internal."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after_seconds = retry_after_seconds


class ClientError(GatewayError):
    """The client must change the request."""

    status = 400
    kind = "invalid_request_error"
    code = "invalid_value"


class BadRequest(ClientError):
    """A value is missing or of the wrong type, or the body is not JSON."""


class NotFound(ClientError):
    """No such path."""

    status = 404
    code = "not_found"


class ModelNotFound(ClientError):
    """No route has this model, or not on this road."""

    status = 404
    code = "model_not_found"


class MethodNotAllowed(ClientError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class BodyTimeout(ClientError):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class ClientStalled(ClientError):
    """The client stopped reading its answer."""

    status = 408
    code = "client_stalled"


class BodyTooLarge(ClientError):
    """More bytes than `limits.max_body_bytes`."""

    status = 413
    code = "request_too_large"


class Overloaded(GatewayError):
    """The route's queue is full."""

    status = 429
    kind = "rate_limit_error"
    code = "overloaded"


class Unavailable(GatewayError):
    """No model server can take the request now."""

    status = 503
    kind = "service_unavailable_error"
    code = "route_unavailable"


class Stopping(Unavailable):
    """The gateway got SIGTERM: new requests are refused, and after a while running ones are cut."""

    code = "gateway_stopped"

    def __init__(self) -> None:
        super().__init__("the gateway is stopping; try again", retry_after_seconds=1.0)


class UpstreamError(GatewayError):
    """The model server failed."""

    status = 502
    kind = "upstream_error"
    code = "upstream_error"


class ConnectFailed(UpstreamError):
    """Nothing listens, or the name or certificate is wrong."""

    code = "upstream_unreachable"


class ConnectTimeout(ConnectFailed):
    """The connection was not made in time."""

    status = 504
    code = "upstream_connect_timeout"


class UpstreamBroke(UpstreamError):
    """The connection broke, or what came is no answer."""

    code = "upstream_broke"


class UpstreamTimeout(UpstreamError):
    """The model server was too slow."""

    status = 504
    code = "upstream_timeout"


class InternalError(GatewayError):
    """A fault of the gateway; says nothing about it."""

    def __init__(self) -> None:
        super().__init__("internal error; the request id finds it in the gateway's log")


def error_body(exc: GatewayError) -> bytes:
    """The OpenAI error object for `exc`, as JSON."""
    error: dict[str, Any] = {"message": str(exc), "type": exc.kind, "param": exc.param, "code": exc.code}
    return msgspec.json.encode({"error": error})
