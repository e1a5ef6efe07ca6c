"""Child servers: start one in its own process group, wait until it is ready, stop it for sure."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from common.errors import TriviumError


class ServerError(TriviumError):
    """A server did not start, did not become ready in time, or ended by itself."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free_port(host: str, port: int) -> None:
    """Raise ServerError where `host:port` cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            reason = exc.strerror or exc
            raise ServerError(f"{host}:{port}: {reason}; end what uses it or choose another --port") from exc


def process_tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants at this moment; empty when it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def tree_memory_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants in bytes, shared pages counted once (PSS)."""
    total = 0
    for process in process_tree(pid):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


@contextmanager
def default_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that start inside; what is set already stays as it is."""
    missing = values.keys() - os.environ.keys()
    os.environ.update({name: values[name] for name in missing})
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


class ServerProcess:
    """A server that runs as a child process and logs to a file.

    Use as a context manager, or call `start`, `wait_ready` and `stop`. Stopping twice is fine.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        ready_url: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        self.ready_url = ready_url
        self.env = {**os.environ, **(env or {})}
        self.cwd = cwd
        self.ready_seconds: float | None = None
        """Seconds from the start of the process to the first 200 of `ready_url`."""
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> None:
        """Start the process; its output goes to `log`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()
        with self.log.open("wb") as stream:
            self._process = subprocess.Popen(
                self.command, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=self.env, cwd=self.cwd, start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process id. Raises ServerError before `start`."""
        if self._process is None:
            raise ServerError(f"{self.command[0]}: not started")
        return self._process.pid

    def wait_ready(self, timeout_seconds: float) -> float:
        """Wait for a 200 from `ready_url`; returns the seconds since the start.

        Raises ServerError with the end of the log when the process ends or the time is up.
        """
        deadline = self._started + timeout_seconds
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise ServerError(f"{self._name()} ended before it was ready; {self._log_tail()}")
            if _answers(self.ready_url):
                self.ready_seconds = time.monotonic() - self._started
                return self.ready_seconds
            time.sleep(0.05)
        raise ServerError(f"{self._name()} was not ready after {timeout_seconds:.0f} s; {self._log_tail()}")

    def rss_bytes(self) -> int:
        """Memory of the process and all its descendants, in bytes: see `tree_memory_bytes`."""
        return tree_memory_bytes(self.pid)

    def stop(self, grace_seconds: float = 15.0) -> None:
        """End the process and every descendant: SIGTERM, then SIGKILL after `grace_seconds`."""
        if self._process is None:
            return
        tree = process_tree(self.pid)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _, alive = psutil.wait_procs(tree, timeout=2)
        for process in alive:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(alive, timeout=5)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _name(self) -> str:
        return f"`{' '.join(self.command[:4])} …`"

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()[-5:] if self.log.exists() else []
        return f"log {self.log} ends: {' | '.join(lines) or '(empty)'}"


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Ask the kernel to end this process when the thread that started it ends, even by SIGKILL.

    So a killed job leaves no server behind. Start servers from a thread that outlives them.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False
