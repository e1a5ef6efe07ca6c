"""Admission: so many requests run, so many may wait in order, the rest is told to come back."""

from __future__ import annotations

import asyncio

from services.gateway.errors import Overloaded


class Slots:
    """A bounded number of running requests and a bounded, first-come queue for them."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._semaphore = asyncio.Semaphore(max_running)
        self._max_waiting = max_waiting
        self.running = 0
        self.waiting = 0

    @property
    def full(self) -> bool:
        """Whether `acquire` would have to wait."""
        return self._semaphore.locked()

    async def acquire(self) -> None:
        """Take a slot, waiting in line for one. Raises Overloaded at once where the line is full."""
        if not self.full:
            await self._semaphore.acquire()  # does not suspend
        else:
            if self.waiting >= self._max_waiting:
                raise Overloaded(
                    f"{self.running} requests are running and {self.waiting} waiting; try again later",
                    retry_after_seconds=1.0,
                )
            self.waiting += 1
            try:
                await self._semaphore.acquire()
            finally:
                self.waiting -= 1
        self.running += 1

    def release(self) -> None:
        """Give the slot to the next in line."""
        self.running -= 1
        self._semaphore.release()
