"""Asks every model server's /ready again and again, so that a route comes back by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from services.gateway.backend import Backend
from services.gateway.errors import ConnectTimeout, GatewayError, UpstreamBroke
from services.gateway.upstream import Upstream

log = logging.getLogger(__name__)

POLL_TIMEOUT_SECONDS = 2.0
MAX_PAGE_BYTES = 65536


class _ReadyPage(msgspec.Struct):
    bundle_digest: str | None = None


_decoder = msgspec.json.Decoder(_ReadyPage)


async def check(backend: Backend, upstream: Upstream) -> None:
    """Ask once and tell `backend`.

    A refused connection or a status other than 200 means not ready. A slow or broken answer says
    nothing: a server at its limit must not lose all its traffic for answering late; its requests'
    own failures open the breaker. 404 is a server without such a page: it lives, so it is tried.
    """
    try:
        async with asyncio.timeout(POLL_TIMEOUT_SECONDS):
            status, body = await _get(backend, upstream)
    except (TimeoutError, ConnectTimeout, UpstreamBroke):
        return
    except GatewayError as exc:
        backend.set_ready(False, str(exc))
        return
    if status not in (200, 404):
        backend.set_ready(False, f"{backend.config.ready_path} answered {status}")
        return
    digest = _digest(body) if status == 200 else None
    expected = backend.config.bundle_digest
    if expected is not None and digest is not None and digest != expected:
        backend.set_ready(False, f"it serves bundle {digest}, the configuration says {expected}")
        return
    if digest is not None:
        backend.learn_bundle(digest)
    backend.set_ready(True, f"{backend.config.ready_path} answered {status}")


async def _get(backend: Backend, upstream: Upstream) -> tuple[int, bytes]:
    answer = await upstream.send("GET", backend.ready_target, [], b"", POLL_TIMEOUT_SECONDS)
    try:
        body = b""
        while len(body) < MAX_PAGE_BYTES and (chunk := await answer.read()):
            body += chunk
        return answer.status, body
    finally:
        answer.close()


def _digest(body: bytes) -> str | None:
    try:
        digest = _decoder.decode(body).bundle_digest
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    # It becomes a response header: nothing but visible ASCII may pass.
    return digest if digest and digest.isascii() and digest.isprintable() and len(digest) <= 128 else None


class HealthPoller:
    """One task per model server, from `start` until `aclose`."""

    def __init__(self, backends: Iterable[Backend], upstream: Upstream) -> None:
        self._backends = list(backends)
        self._upstream = upstream
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to ask; the first time at once."""
        for backend in self._backends:
            task = asyncio.create_task(self._watch(backend), name=f"ready {backend.name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Stop asking. Twice is fine."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, backend: Backend) -> None:
        while True:
            try:
                await check(backend, self._upstream)
            except Exception:  # the task must outlive any fault, or the route never comes back
                log.exception("asking %s failed", backend.name)
            await asyncio.sleep(backend.config.ready_every_seconds)
