"""Continuous batching: one worker thread that runs one model step for all sequences, again and again.

Each turn reads at most one chunk of one prompt and then makes one token for every running sequence, so a
long prompt delays the others by one chunk, and nobody waits for another's answer to end (Yu et al., Orca,
OSDI 2022; chunked prefill as in Agrawal et al., Sarathi-Serve, OSDI 2024).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from edge.engine import TokenEngine
from edge.generation import FinishReason, Generation

log = logging.getLogger(__name__)


class QueueFull(Exception):
    """Every cache row is taken and as many requests wait as are allowed to."""


class Stopped(Exception):
    """The scheduler takes no more requests."""


class Observer(Protocol):
    """Is told what happens, from the worker thread."""

    def levels(self, running: int, waiting: int) -> None:
        """How many requests have a cache row, and how many wait for one."""

    def tokens(self, prompt: int, generated: int) -> None:
        """Tokens that the model has just read and made."""

    def finished(self, generation: Generation) -> None:
        """A request has ended, for whatever reason."""


@dataclass(frozen=True)
class Limits:
    """How much the scheduler takes on."""

    max_waiting: int = 64
    prefill_chunk: int = 256
    """Prompt tokens read between two decode steps."""


class Scheduler:
    """Feeds a TokenEngine from a bounded first-come, first-served queue."""

    def __init__(
        self, engine: TokenEngine, eos: Iterable[int], observer: Observer, limits: Limits | None = None
    ) -> None:
        self._engine = engine
        self._eos = frozenset(eos)
        self._observer = observer
        self._limits = limits or Limits()
        self._waiting: deque[Generation] = deque()
        self._reading: deque[Generation] = deque()
        self._running: list[Generation] = []
        self._wake = threading.Condition()
        self._stopping = False
        self.failed: Exception | None = None
        """What ended the worker, where something did."""
        self._thread = threading.Thread(target=self._work, name="edge-scheduler", daemon=True)

    def start(self) -> None:
        """Start the worker thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker; unfinished requests finish as cancelled."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, generation: Generation) -> None:
        """Queue a request. Raises QueueFull, or Stopped after `stop` or an engine failure."""
        with self._wake:
            if self._stopping or self.failed:
                raise Stopped
            if self._in_flight() >= self._engine.max_sequences + self._limits.max_waiting:
                raise QueueFull
            self._waiting.append(generation)
            self._wake.notify()

    def _in_flight(self) -> int:
        return len(self._waiting) + len(self._reading) + len(self._running)

    def _work(self) -> None:
        try:
            while self._wait_for_work():
                self._turn()
            self._end_all("cancelled")
        except Exception as exc:  # the thread's edge: every waiting client must hear of it
            log.exception("the engine failed; no more requests are taken")
            with self._wake:
                self.failed = exc
            self._end_all("error")

    def _wait_for_work(self) -> bool:
        with self._wake:
            while not (self._stopping or self._waiting or self._reading or self._running):
                self._wake.wait()
            return not self._stopping

    def _turn(self) -> None:
        self._drop_unwanted()
        self._admit()
        self._read_prompt()
        self._decode()

    def _drop_unwanted(self) -> None:
        now = time.perf_counter()
        with self._wake:
            waiting = list(self._waiting)
        for generation in (*waiting, *self._reading, *self._running):
            if generation.cancelled:
                self._end(generation, "cancelled")
            elif generation.deadline is not None and now > generation.deadline:
                self._end(generation, "deadline")

    def _admit(self) -> None:
        while self._waiting and len(self._running) + len(self._reading) < self._engine.max_sequences:
            with self._wake:
                generation = self._waiting.popleft()
                self._reading.append(generation)
            generation.slot = self._engine.open()
            generation.started = time.perf_counter()
            self._levels()

    def _read_prompt(self) -> None:
        """Read one chunk of the oldest unread prompt; its last chunk gives the first token."""
        if not self._reading:
            return
        generation = self._reading[0]
        assert generation.slot is not None
        chunk = generation.prompt[generation.read : generation.read + self._limits.prefill_chunk]
        logits = self._engine.prefill(generation.slot, chunk)
        generation.read += len(chunk)
        complete = generation.read == len(generation.prompt)
        self._observer.tokens(len(chunk), int(complete))
        if complete:
            with self._wake:
                self._reading.popleft()
                self._running.append(generation)
            generation.accept(logits, self._eos)
            self._after_token(generation)

    def _decode(self) -> None:
        """One token for every running sequence, in one run of the model."""
        if not self._running:
            return
        batch = [(g, g.slot) for g in self._running if g.slot is not None]
        logits = self._engine.decode({slot: g.pieces[-1].token for g, slot in batch})
        # Choose for all before any slot closes: closing moves rows.
        for generation, slot in batch:
            generation.accept(logits[slot.row], self._eos)
        self._observer.tokens(0, len(batch))
        for generation, _ in batch:
            self._after_token(generation)

    def _after_token(self, generation: Generation) -> None:
        if generation.finish_reason is not None:
            self._end(generation, generation.finish_reason)
        else:
            generation.notify()

    def _end(self, generation: Generation, reason: FinishReason) -> None:
        if generation.slot is not None:
            self._engine.close(generation.slot)
            generation.slot = None
        with self._wake:
            for group in (self._waiting, self._reading, self._running):
                if generation in group:
                    group.remove(generation)
        generation.finish(reason)
        self._observer.finished(generation)
        self._levels()
        generation.notify()

    def _end_all(self, reason: FinishReason) -> None:
        with self._wake:
            left = [*self._waiting, *self._reading, *self._running]
        for generation in left:
            generation.slot = None
            self._end(generation, reason)

    def _levels(self) -> None:
        self._observer.levels(len(self._running) + len(self._reading), len(self._waiting))
