"""The client watches itself: its clock, its CPU, and how late its event loop runs."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import Any

import gevent
import psutil

LAG_PROBE_SECONDS = 0.02
CLIENT_NICENESS = -10


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the start of the run, on the monotonic clock."""

    zero: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since the start; negative before it."""
        return time.monotonic() - self.zero


def ask_for_priority() -> int:
    """Put this process before the others where the system allows it (root does); returns its niceness.

    The client needs little CPU but needs it at once. A server that fills the same cores would make it late,
    and the run would measure the scheduler of the operating system.
    """
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, CLIENT_NICENESS)
    return os.getpriority(os.PRIO_PROCESS, 0)


class SelfMonitor:
    """Samples while the run is on: CPU seconds of this process, and the overshoot of short sleeps.

    The overshoot (loop lag) is how late any event of this process was seen, sends and chunks alike.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._niceness = ask_for_priority()
        self._lags: list[float] = []
        self._cpu_start = self._cpu_now()
        self._wall_start = time.monotonic()
        self._probe = gevent.spawn(self._run)

    def stop(self) -> dict[str, Any]:
        """End it; returns cpu_seconds, wall_seconds, lags (s), niceness, and cores (of the machine)."""
        self._probe.kill()
        return {
            "cpu_seconds": self._cpu_now() - self._cpu_start,
            "wall_seconds": time.monotonic() - self._wall_start,
            "lags": self._lags,
            "cores": os.cpu_count() or 1,
            "niceness": self._niceness,
        }

    def _run(self) -> None:
        while True:
            due = time.monotonic() + LAG_PROBE_SECONDS
            gevent.sleep(LAG_PROBE_SECONDS)
            self._lags.append(max(0.0, time.monotonic() - due))

    def _cpu_now(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
