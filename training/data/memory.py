"""How much memory a job really needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


class PeakMemory:
    """The largest private memory seen: resident pages without those shared with files.

    Pages of a memory-mapped Arrow file count as resident while the machine has room for them, but the kernel
    takes them back when it needs room. Only private pages must fit, so they are what is measured.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.private_bytes = 0

    def sample(self) -> None:
        """Look once."""
        memory = self._process.memory_info()
        self.private_bytes = max(self.private_bytes, memory.rss - getattr(memory, "shared", 0))


@contextmanager
def watch_memory(every_seconds: float = 0.05) -> Iterator[PeakMemory]:
    """Sample this process's memory from a thread while the block runs."""
    peak, stop = PeakMemory(), threading.Event()

    def watch() -> None:
        while not stop.wait(every_seconds):
            peak.sample()

    thread = threading.Thread(target=watch, name="peak-memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        peak.sample()
        stop.set()
        thread.join()
