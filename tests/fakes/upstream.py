"""An upstream in memory, for the gateway's core without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.gateway.upstream import Headers, Target, Upstream, UpstreamAnswer

Step = bytes | float | Exception
"""Bytes to deliver, seconds to wait, or an exception to raise."""


@dataclass
class ScriptedAnswer(UpstreamAnswer):
    """Delivers its steps one by one."""

    steps: list[Step]
    status: int = 200
    headers: Headers = field(default_factory=lambda: [(b"content-type", b"application/json")])
    closed: bool = False

    async def read(self) -> bytes:
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, Exception):
                raise step
            await asyncio.sleep(step)
        return b""

    def close(self) -> None:
        self.closed = True


def whole(content: dict[str, Any] | None = None, status: int = 200) -> ScriptedAnswer:
    """An answer that does not stream."""
    return ScriptedAnswer([json.dumps(content or {"choices": []}).encode()], status)


def stream(*steps: Step) -> ScriptedAnswer:
    """A stream of server-sent events."""
    return ScriptedAnswer(
        list(steps), headers=[(b"content-type", b"text/event-stream"), (b"connection", b"close")]
    )


def token(text: str) -> bytes:
    """One event that carries text."""
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


class FakeUpstream(Upstream):
    """Asks `answer` for what to do with each request; keeps what it was sent."""

    def __init__(self, answer: Callable[[Target], UpstreamAnswer | Exception]) -> None:
        self._answer = answer
        self.sent: list[tuple[Target, Headers, bytes]] = []
        self.given: list[UpstreamAnswer] = []

    async def send(
        self, method: str, target: Target, headers: Headers, body: bytes, connect_seconds: float
    ) -> UpstreamAnswer:
        self.sent.append((target, headers, body))
        answer = self._answer(target)
        if isinstance(answer, Exception):
            raise answer
        self.given.append(answer)
        return answer

    async def aclose(self) -> None:
        return None
