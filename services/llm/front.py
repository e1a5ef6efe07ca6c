"""The HTTP front of both engines: health, readiness, metrics, body limit, and the routes there are."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.llm.asgi import (
    App,
    ClientDisconnected,
    Receive,
    Scope,
    Send,
    answer_bytes,
    answer_json,
    read_body,
    replay,
)
from services.llm.errors import RequestError, error_body

log = logging.getLogger(__name__)

# The contract's API and vLLM's tokenizer calls. What else vLLM offers (sleep, profiling) is for its operator,
# not for clients; loading of adapters too, unless the operator opens it.
FORWARDED = {
    "/v1/models": "GET",
    "/v1/completions": "POST",
    "/v1/chat/completions": "POST",
    "/tokenize": "POST",
    "/detokenize": "POST",
}
MODEL_PATH = "/v1/models/"
DISCARD_LIMITS = 16
"""How many times the limit of a body is read before a client that sends more is cut off."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Backend(Protocol):
    """A loaded engine."""

    recovers: bool
    """Whether somebody restarts a dead engine (Ray Serve does); else the server ends with it."""

    @property
    def app(self) -> App:
        """Serves the API of `FORWARDED`."""

    async def healthy(self) -> bool:
        """Whether the engine can still answer."""

    async def metrics(self) -> bytes:
        """The engine's metrics as Prometheus text."""


@dataclass(frozen=True)
class Identity:
    """What `/ready` says about this server."""

    bundle_digest: str
    model: str
    road: str
    format: str

    def ready(self) -> dict[str, object]:
        """The answer of `/ready` once verified and loaded."""
        return {
            "status": "ready", "bundle_digest": self.bundle_digest, "model": self.model,
            "road": self.road, "format": self.format,
        }  # fmt: skip


class Front:
    """ASGI application around a backend."""

    def __init__(
        self, backend: Backend, identity: Identity, *, max_body_bytes: int,
        operator_routes: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._backend = backend
        self._identity = identity
        self._max_body_bytes = max_body_bytes
        self._routes = {**FORWARDED, **(operator_routes or {})}
        self._probes: dict[str, Callable[[Send], Awaitable[None]]] = {
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: dict[str, object]) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._dispatch(scope, receive, watched)  # type: ignore[arg-type]
        except ClientDisconnected:
            return
        except RequestError as exc:
            if started:
                raise
            await answer_json(send, exc.status, exc.body(), _headers(exc.status))
        # The edge of the server: whatever was not foreseen is one logged traceback and a constant body.
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            await answer_json(send, 500, error_body(500, "internal error; see the server's log"))

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in self._probes:
            _check_method(scope, "GET")
            await self._probes[path](send)
        elif path in self._routes or path.startswith(MODEL_PATH):
            _check_method(scope, self._routes.get(path, "GET"))
            body = await read_body(receive, self._max_body_bytes, DISCARD_LIMITS * self._max_body_bytes)
            await self._backend.app(scope, replay(body, receive), send)
        else:
            raise RequestError(404, f"no such path: {path}", code="unknown_path")

    async def _health(self, send: Send) -> None:
        await answer_json(send, 200, {"status": "ok"})

    async def _ready(self, send: Send) -> None:
        if await self._backend.healthy():
            await answer_json(send, 200, self._identity.ready())
        else:
            await answer_json(send, 503, {"status": "failed"}, _headers(503))

    async def _metrics(self, send: Send) -> None:
        await answer_bytes(send, 200, await self._backend.metrics(), {"content-type": METRICS_TYPE})


def _headers(status: int) -> dict[str, str]:
    if status == 413:
        return {"connection": "close"}
    return {"retry-after": "5"} if status == 503 else {}


def _check_method(scope: Scope, wanted: str) -> None:
    if scope["method"] != wanted and (wanted, scope["method"]) != ("GET", "HEAD"):
        raise RequestError(405, f"{scope['path']} takes {wanted}, not {scope['method']}", code="wrong_method")
