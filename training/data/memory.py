"""How much memory a job really needs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from common.processes import tree_memory_bytes


class PeakMemory:
    """The largest private memory seen: resident pages without those shared with files.

    Pages of a memory-mapped Arrow file count as resident while the machine has room for them, but the kernel
    takes them back when it needs room. Only private pages must fit, so they are what is measured.
    With `tree`, the worker processes count too, and what they share counts once (`tree_memory_bytes`).
    """

    def __init__(self, tree: bool = False) -> None:
        self._process = psutil.Process()
        self._tree = tree
        self.private_bytes = 0

    def sample(self) -> None:
        """Look once."""
        if self._tree:
            self.private_bytes = max(self.private_bytes, tree_memory_bytes(os.getpid()))
            return
        memory = self._process.memory_info()
        self.private_bytes = max(self.private_bytes, memory.rss - getattr(memory, "shared", 0))


@contextmanager
def watch_memory(every_seconds: float = 0.05, tree: bool = False) -> Iterator[PeakMemory]:
    """Sample this process's (or process tree's) memory from a thread while the block runs."""
    peak, stop = PeakMemory(tree), threading.Event()

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
