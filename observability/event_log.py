"""Writes request events to a JSONL file without making the server wait.

`write` puts the event on a bounded list and returns; one thread encodes and writes what has gathered,
a few times a second. The file holds whole lines only: a write that fails half way (disk full) is taken
back, and a line left torn by a crash is cut off at the next start. Every event that is not written is
counted (`dropped`, and the callback) and logged.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from observability.events import EventError, RequestEvent, encode

log = logging.getLogger(__name__)


class EventLog:
    """An append-only JSONL file of request events, rotated by size.

    When a batch would make `path` larger than `max_bytes`, it becomes `path.1`, the one before `path.2`,
    and so on; `keep` rotated files stay. At most `max_pending` events wait for the thread.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = 64 * 2**20,
        keep: int = 5,
        max_pending: int = 50_000,
        flush_seconds: float = 0.2,
        on_drop: Callable[[int], None] | None = None,
    ) -> None:
        """Open the file and start the thread. Raises EventError where it cannot be written."""
        self.path = path
        self.dropped = 0
        self._max_bytes, self._keep, self._max_pending = max_bytes, keep, max_pending
        self._flush_seconds, self._on_drop = flush_seconds, on_drop
        self._pending: deque[RequestEvent] = deque()
        self._closing = threading.Event()
        self._drop_lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._open()
            self._size = _cut_torn_line(self._descriptor)
        except OSError as exc:
            raise EventError(f"{path}: request events cannot be written: {exc.strerror or exc}") from exc
        self._thread = threading.Thread(target=self._run, name="event-log", daemon=True)
        self._thread.start()

    def write(self, event: RequestEvent) -> None:
        """Hand over one event; never blocks. Over `max_pending`, or after `close`, it is dropped."""
        if len(self._pending) >= self._max_pending or self._closing.is_set():
            self._drop(
                1, "too many events are waiting" if not self._closing.is_set() else "the log is closed"
            )
            return
        self._pending.append(event)

    def close(self) -> None:
        """Write what is waiting and close the file. Twice is fine."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        os.close(self._descriptor)

    def _run(self) -> None:
        while not self._closing.wait(self._flush_seconds):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        # Bounded by the number at the start, so that a busy server cannot keep one flush going forever.
        events = [self._pending.popleft() for _ in range(len(self._pending))]
        lines: list[bytes] = []
        size = 0
        for event in events:
            try:
                line = encode(event)
            except (TypeError, ValueError, OverflowError) as exc:
                self._drop(1, f"cannot be encoded: {exc}")
                continue
            if lines and self._size + size + len(line) > self._max_bytes:
                self._append(lines)
                lines, size = [], 0
            lines.append(line)
            size += len(line)
        if lines:
            self._append(lines)

    def _append(self, lines: list[bytes]) -> None:
        block = b"".join(lines)
        try:
            if self._size and self._size + len(block) > self._max_bytes:
                self._rotate()
            written = 0
            try:
                while written < len(block):
                    written += os.write(self._descriptor, memoryview(block)[written:])
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                raise
            self._size += len(block)
        except OSError as exc:
            self._drop(len(lines), exc.strerror or str(exc))

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            newer = self.path if number == 1 else self._rotated(number - 1)
            if newer.exists():
                newer.replace(self._rotated(number))
        if not self._keep:
            self.path.unlink(missing_ok=True)
        old, self._descriptor, self._size = self._descriptor, self._open(), 0
        os.close(old)

    def _rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def _drop(self, count: int, reason: str) -> None:
        # One line at the first drop and at each doubling: loud, but no flood while a disk stays full.
        with self._drop_lock:
            before, self.dropped = self.dropped, self.dropped + count
        if self._on_drop is not None:
            self._on_drop(count)
        if before.bit_length() != self.dropped.bit_length():
            log.error("%s: %d request events dropped so far: %s", self.path, self.dropped, reason)


def _cut_torn_line(descriptor: int) -> int:
    """Truncate to the end of the last whole line; returns the size that is left."""
    size = os.fstat(descriptor).st_size
    end = size
    while end:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        os.ftruncate(descriptor, end)
    return end
