"""One answer in the making: what the scheduler's thread writes and the HTTP side reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge.engine import Logits, Slot
from edge.sampling import Sampler, SamplingParams, TokenLogprob
from edge.text import TextWriter

FinishReason = Literal["stop", "length", "cancelled", "deadline", "error"]


@dataclass(frozen=True)
class Piece:
    """One generated token and the text that became final with it (often none)."""

    token: int
    text: str
    logprob: TokenLogprob | None


class Generation:
    """A request from its arrival to its last token.

    The worker thread appends to `pieces` and calls `notify`; readers only read. Times are
    `time.perf_counter()` seconds.
    """

    def __init__(
        self,
        prompt: list[int],
        params: SamplingParams,
        writer: TextWriter,
        *,
        deadline: float | None = None,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self.prompt = prompt
        self.params = params
        self.deadline = deadline
        self.notify = notify
        self.pieces: list[Piece] = []
        self.tail = ""
        """Text that became final only at the end."""
        self.finish_reason: FinishReason | None = None
        self.cancelled = False
        self.arrived = time.perf_counter()
        self.started: float | None = None
        self.token_times: list[float] = []
        # The worker's own state.
        self.slot: Slot | None = None
        self.read = 0
        """Prompt tokens that the model has seen."""
        self._sampler = Sampler(params)
        self._writer = writer

    def cancel(self) -> None:
        """Nobody reads this any more: the worker frees it before its next step. Any thread may call."""
        self.cancelled = True

    def accept(self, logits: Logits, eos: frozenset[int]) -> None:
        """Choose the next token from `logits` and decide whether the answer is complete."""
        token = self._sampler.pick(logits)
        self.token_times.append(time.perf_counter())
        ended = token in eos and not self.params.ignore_eos
        text = "" if ended else self._writer.push(token)
        self.pieces.append(Piece(token, text, self._sampler.logprob(logits, token)))
        if ended or self._writer.stopped:
            self.finish("stop")
        elif len(self.pieces) >= self.params.max_tokens:
            self.finish("length")

    def finish(self, reason: FinishReason) -> None:
        """Complete the answer; later calls change nothing."""
        if self.finish_reason is None:
            self.tail = self._writer.finish()
            # Text that was held back can complete a stop string only through its last characters.
            self.finish_reason = "stop" if reason == "length" and self._writer.stopped else reason

    @property
    def text(self) -> str:
        """All final text so far."""
        return "".join(piece.text for piece in self.pieces) + self.tail
