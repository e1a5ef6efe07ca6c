"""What a person sees while a job runs: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

_LINE_SECONDS = 10.0


class ProgressDisplay:
    """Step, loss, tokens/s and the time that is left. Use as a context manager."""

    def __init__(self, name: str, total_steps: int, done: int) -> None:
        self._name = name
        self._total = total_steps
        self._first = self._done = done
        self._started = self._last_line = time.monotonic()
        terminal = sys.stderr.isatty()
        self._bar = (
            tqdm(total=total_steps, initial=done, desc=name, unit="step", smoothing=0.1) if terminal else None
        )

    def step(self, loss: float, tokens_per_second: float) -> None:
        """One step is done."""
        self._done += 1
        text = f"loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()
        elif time.monotonic() - self._last_line > _LINE_SECONDS:
            self._last_line = time.monotonic()
            per_step = (self._last_line - self._started) / (self._done - self._first)
            left = per_step * (self._total - self._done)
            self.say(f"{self._name}: step {self._done}/{self._total}, {text}, {left:.0f} s left")

    def say(self, text: str) -> None:
        """A line that does not break the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
