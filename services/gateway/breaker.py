"""A circuit breaker: after failures in a row nobody waits for a dead server (Nygard, Release It!, 2007)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "half_open", "open"]


class Breaker:
    """Closed: all may pass. Open: none. Half open: one request probes, and its end decides.

    Every `acquire` that returned True must be followed by one of `success`, `failure` or `abandon`.
    """

    def __init__(
        self, failures: int, open_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit, self._open_seconds, self._clock = failures, open_seconds, clock
        self._failures_in_row = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """As of now; an open breaker becomes half open by the passing of time."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._clock() - self._opened_at >= self._open_seconds else "open"

    @property
    def allows(self) -> bool:
        """Whether `acquire` would return True."""
        return self._opened_at is None or (self.state == "half_open" and not self._probing)

    def retry_after_seconds(self) -> float:
        """Until the next request may probe."""
        return (
            0.0 if self._opened_at is None else max(0.0, self._open_seconds - self._clock() + self._opened_at)
        )

    def acquire(self) -> bool:
        """Ask to send one request."""
        if self._opened_at is None:
            return True
        if not self.allows:
            return False
        self._probing = True
        return True

    def success(self) -> None:
        """The server answered: close."""
        self._failures_in_row = 0
        self._opened_at = None
        self._probing = False

    def failure(self) -> None:
        """The server failed: count; open at the limit, and again after a failed probe."""
        self._failures_in_row += 1
        if self._probing or (self._opened_at is None and self._failures_in_row >= self._limit):
            self._opened_at = self._clock()
        self._probing = False

    def abandon(self) -> None:
        """The request ended without saying anything about the server (its client left)."""
        self._probing = False

    def recover(self) -> None:
        """The server says that it is ready: let the next request probe now."""
        if self._opened_at is not None:
            self._opened_at = self._clock() - self._open_seconds
