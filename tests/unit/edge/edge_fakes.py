"""A model in memory for the edge's unit tests: counts up, says when it was asked, never loads anything."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from edge.engine import Logits, Slot, TokenEngine
from edge.generation import Generation

VOCABULARY = 50


class CountingEngine(TokenEngine):
    """After token t the most probable one is t + 1; `END` ends. Rows move on close as in the real engine."""

    END = 40

    def __init__(self, *, max_sequences: int = 4, context_length: int = 100) -> None:
        self.max_sequences = max_sequences
        self.context_length = context_length
        self.vocab_size = VOCABULARY
        self.steps: list[int] = []
        """Sequences in each decode step."""
        self.chunks: list[int] = []
        """Tokens in each prefill."""
        self.gate = threading.Semaphore(10**9)
        """Tests that want to stop time put a Semaphore(0) here; each model run takes one permit."""
        self.fail = False
        self.open_slots: list[Slot] = []
        self._last: dict[Slot, int] = {}

    def open(self) -> Slot:
        assert len(self.open_slots) < self.max_sequences
        slot = Slot(row=len(self.open_slots))
        self.open_slots.append(slot)
        return slot

    def prefill(self, slot: Slot, tokens: list[int]) -> Logits:
        self._run()
        self.chunks.append(len(tokens))
        slot.length += len(tokens)
        return self._logits(tokens[-1])

    def decode(self, tokens: Mapping[Slot, int]) -> Logits:
        self._run()
        self.steps.append(len(tokens))
        rows = np.zeros((len(self.open_slots), VOCABULARY), np.float32)
        for slot, token in tokens.items():
            slot.length += 1
            rows[slot.row] = self._logits(token)
        return rows

    def close(self, slot: Slot) -> None:
        last = self.open_slots.pop()
        if last is not slot:
            last.row = slot.row
            self.open_slots[slot.row] = last

    def _run(self) -> None:
        self.gate.acquire()
        if self.fail:
            raise RuntimeError("the fake engine was told to fail")

    def _logits(self, token: int) -> Logits:
        logits = np.zeros(VOCABULARY, np.float32)
        logits[(token + 1) % VOCABULARY] = 5.0
        return logits


class Recorder:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.ended: list[Generation] = []
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.running = 0
        self.waiting = 0

    def levels(self, running: int, waiting: int) -> None:
        self.running, self.waiting = running, waiting

    def tokens(self, prompt: int, generated: int) -> None:
        self.prompt_tokens += prompt
        self.generated_tokens += generated

    def finished(self, generation: Generation) -> None:
        self.ended.append(generation)
