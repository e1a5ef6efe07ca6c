"""Trials (`training/labs/trial.py`) in processes of their own, asked for steps one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from common.errors import TriviumError
from training.labs.trial import Round, TrialConfig

_TAIL_LINES = 3
_PATIENCE_SECONDS = 10.0
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024)}
"""Makes glibc give each large block back to the system when it is freed. By default it raises this threshold
as it goes and keeps freed blocks for later: resident memory is then what it holds, not what is in use."""


class TrialError(TriviumError):
    """A trial's process ended before it answered: it does not fit into memory, or cannot run here."""

    exit_code = 1


class Child:
    """One trial in its own process. Use as a context manager; leaving it ends the process."""

    def __init__(self, config: TrialConfig, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is added to that of this process."""
        self.config = config
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "training.labs.trial"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors, text=True, env=self._environment,
        )  # fmt: skip
        try:
            self._ask(self.config.model_dump_json())
        except TrialError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()  # the end of its input is the end of the trial
            try:
                self._process.wait(_PATIENCE_SECONDS if kind is None else 0.1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._errors.close()

    def run(self, steps: int) -> Round:
        """Train `steps` steps. Raises TrialError where the process ends instead."""
        return Round.model_validate_json(self._ask(str(steps)))

    def _ask(self, line: str) -> str:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answer = ""
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            pass  # it has ended; what it wrote says why
        if answer:
            return answer
        code = self._process.wait()
        self._errors.seek(0)
        tail = " | ".join(self._errors.read().strip().splitlines()[-_TAIL_LINES:])
        reason = "killed, most likely for lack of memory" if code == -9 else f"exit code {code}"
        raise TrialError(
            f"the trial of {self.config.rows} x {self.config.row_tokens} ended: {reason}; {tail}"
        )
