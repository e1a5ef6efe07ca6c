"""The way to a model server. `Upstream` is the interface; aiohttp the implementation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
from yarl import URL

from services.gateway.errors import ConnectFailed, ConnectTimeout, UpstreamBroke


class UpstreamAnswer(ABC):
    """An answer whose head has arrived."""

    status: int
    headers: Mapping[str, str]
    """Names compare without regard to case."""

    @abstractmethod
    async def read(self) -> bytes:
        """What has arrived since the last call, at least one byte; empty at the end. Raises UpstreamBroke."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back, or break it where the answer is not read to its end."""


class Upstream(ABC):
    """Sends requests to model servers."""

    @abstractmethod
    async def post(
        self, url: URL, body: bytes, headers: list[tuple[str, str]], connect_seconds: float
    ) -> UpstreamAnswer:
        """Send and wait for the head of the answer. Raises ConnectFailed, ConnectTimeout, UpstreamBroke."""

    @abstractmethod
    async def get(self, url: URL, timeout_seconds: float) -> tuple[int, bytes]:
        """Status and the first 64 KiB of the body. Raises ConnectFailed, ConnectTimeout, UpstreamBroke."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections. Twice is fine."""


@contextmanager
def _translated() -> Iterator[None]:
    """aiohttp's exceptions as ours, most specific first. The texts name no host: clients see them."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as exc:
        raise ConnectTimeout("the model server did not accept a connection in time") from exc
    except aiohttp.ClientConnectorError as exc:
        raise ConnectFailed("the model server cannot be reached") from exc
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        raise UpstreamBroke("the model server broke off the connection") from exc


class _AiohttpAnswer(UpstreamAnswer):
    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers

    async def read(self) -> bytes:
        with _translated():
            return await self._response.content.readany()

    def close(self) -> None:
        self._response.close()


class AiohttpUpstream(Upstream):
    """Connections kept alive for `keep_alive_seconds`; their number is bounded by the routes' slots."""

    def __init__(self, keep_alive_seconds: float) -> None:
        self._keep_alive_seconds = keep_alive_seconds
        self._session: aiohttp.ClientSession | None = None
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=self._keep_alive_seconds),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._session

    async def post(
        self, url: URL, body: bytes, headers: list[tuple[str, str]], connect_seconds: float
    ) -> UpstreamAnswer:
        # First token, gaps and total are the caller's to bound (it knows streams from others).
        timeout = self._timeouts.get(connect_seconds)
        if timeout is None:
            timeout = self._timeouts[connect_seconds] = aiohttp.ClientTimeout(
                total=None, sock_connect=connect_seconds
            )
        with _translated():
            response = await self._open().post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            )
        return _AiohttpAnswer(response)

    async def get(self, url: URL, timeout_seconds: float) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=timeout_seconds)
        with _translated():
            async with self._open().get(url, timeout=timeout, allow_redirects=False) as response:
                return response.status, await response.content.read(65536)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
