"""How long the present phase of a request may last, and whose fault it is when it lasts longer."""

from __future__ import annotations

import asyncio
from typing import Literal

from services.gateway.errors import ClientStalled, GatewayError, Unavailable, UpstreamTimeout

Phase = Literal["queue", "first_token", "between_chunks", "total", "client"]

_TEXTS: dict[Phase, str] = {
    "first_token": "the model server sent no token in time",
    "between_chunks": "the model server stopped in the middle of its answer",
    "total": "the model server did not answer in time",
}


class Deadline:
    """One timer per request, moved on with each phase. Use `timer` as an async context manager."""

    def __init__(self) -> None:
        self.timer = asyncio.timeout(None)
        self.phase: Phase = "queue"
        self._time = asyncio.get_running_loop().time

    def enter(self, phase: Phase, seconds: float) -> None:
        """From now on `phase`, and `seconds` for it."""
        self.phase = phase
        self.timer.reschedule(self._time() + seconds)

    @property
    def is_upstreams_fault(self) -> bool:
        """Whether the time is up in a phase that waits for the model server."""
        return self.timer.expired() and self.phase not in ("queue", "client")

    def error(self) -> GatewayError:
        """What to answer when the time is up."""
        if self.phase == "queue":
            return Unavailable("waited too long for a free slot; try again later", retry_after_seconds=1.0)
        if self.phase == "client":
            return ClientStalled("the client did not read the answer in time")
        return UpstreamTimeout(_TEXTS[self.phase])
