"""The client watches itself: its clock, its CPU, and how late its event loop runs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

import gevent
import psutil

LAG_PROBE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the start of the run, on the monotonic clock."""

    zero: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since the start; negative before it."""
        return time.monotonic() - self.zero


def ask_for_priority() -> str:
    """Put this process before ordinary ones where the system allows it (root), and say how.

    The client needs little CPU but needs it at once. A server that fills the same cores would make it late,
    and the run would measure the scheduler. Niceness does not help there: where Linux groups processes by
    session (autogroup), it counts inside a session only. Real-time round robin does; threads and children
    fall back to ordinary.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except (AttributeError, OSError):  # not Linux, or not allowed
        return "ordinary"
    return "real-time (SCHED_RR 1)"


class SelfMonitor:
    """Samples while the run is on: CPU seconds of this process, and the overshoot of short sleeps.

    The overshoot (loop lag) is how late any event of this process was seen, sends and chunks alike.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._priority = ask_for_priority()
        self._lags: list[float] = []
        self._cpu_start = self._cpu_now()
        self._wall_start = time.monotonic()
        self._probe = gevent.spawn(self._run)

    def stop(self) -> dict[str, Any]:
        """End it; returns cpu_seconds, wall_seconds, lags (s), priority, and cores (of the machine)."""
        self._probe.kill()
        return {
            "cpu_seconds": self._cpu_now() - self._cpu_start,
            "wall_seconds": time.monotonic() - self._wall_start,
            "lags": self._lags,
            "cores": os.cpu_count() or 1,
            "priority": self._priority,
        }

    def _run(self) -> None:
        while True:
            due = time.monotonic() + LAG_PROBE_SECONDS
            gevent.sleep(LAG_PROBE_SECONDS)
            self._lags.append(max(0.0, time.monotonic() - due))

    def _cpu_now(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
