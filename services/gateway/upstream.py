"""The way to a model server: `Upstream` is the interface, `pool.PooledUpstream` the implementation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

Headers = list[tuple[bytes, bytes]]
"""Names in lower case."""


@dataclass(frozen=True, slots=True)
class Target:
    """One URL, taken apart once."""

    host: str
    port: int
    tls: bool
    path: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """From an absolute http or https URL, checked by the configuration."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    def join(self, path: str) -> Target:
        """The same server, `path` (with its leading slash) below this one."""
        return Target(self.host, self.port, self.tls, self.path + path)

    @property
    def origin(self) -> str:
        """Scheme, host and port, for logs and labels."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class UpstreamAnswer(ABC):
    """An answer whose head has arrived."""

    status: int
    headers: Headers

    @abstractmethod
    async def read(self) -> bytes:
        """What has arrived since the last call, at least one byte; empty at the end. Raises UpstreamBroke."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back, or break it at once where the answer was not read to its end."""


class Upstream(ABC):
    """Sends requests to model servers."""

    @abstractmethod
    async def send(
        self, method: str, target: Target, headers: Headers, body: bytes, connect_seconds: float
    ) -> UpstreamAnswer:
        """Send and wait for the head of the answer; how long is the caller's to bound.

        Raises ConnectFailed and ConnectTimeout (nothing was sent) and UpstreamBroke.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close all connections. Twice is fine."""
