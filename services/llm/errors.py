"""Errors as the OpenAI API shapes them."""

from __future__ import annotations

import re

_TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    405: "method_not_allowed",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "service_unavailable",
}


class RequestError(Exception):
    """A request that cannot be served, with the status and the parameter to blame."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def body(self) -> dict[str, object]:
        """The JSON answer."""
        return error_body(self.status, str(self), param=self.param, code=self.code)


def cause(text: str) -> str:
    """The line of a library's long error text that names the cause: its last one that says something."""
    lines = [line.strip() for line in text.splitlines()]
    telling = [
        line for line in lines if re.match(r"[\w.]*(Error|Exception)\b.*: ", line) or "Value error" in line
    ]
    return (telling or [line for line in lines if line] or ["no reason given"])[-1]


def error_body(
    status: int, message: str, *, param: str | None = None, code: str | None = None
) -> dict[str, object]:
    """`{"error": {"message", "type", "param", "code"}}` for an HTTP status."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
