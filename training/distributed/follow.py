"""What a person sees while processes elsewhere train: read from the files that they write."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.display import ProgressDisplay
from training.distributed.config import DistributedConfig, Strategy
from training.distributed.record import attempts_of

_SECONDS = 0.5
_TAIL_BYTES = 4096
"""More than a line of metrics.jsonl has."""


@contextmanager
def follow(strategy: Strategy, settings: DistributedConfig, total: int, done: int) -> Iterator[None]:
    """Show steps, and that the run went back to a checkpoint."""
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(strategy, settings, total, done, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(
    strategy: Strategy, settings: DistributedConfig, total: int, done: int, stop: threading.Event
) -> None:
    # When one is lost, all synchronous workers begin anew; an asynchronous run goes back with its server.
    who = "server" if strategy == "async" else "workers"
    while not attempts_of(settings, who):  # until then the metrics are those of an interrupted run
        if stop.wait(_SECONDS):
            return
    told, ended = 1, False
    with ProgressDisplay(strategy, total, done) as display:
        while not ended:
            ended = stop.wait(_SECONDS)
            for step in attempts_of(settings, who)[told:]:
                told += 1
                display.say(f"{strategy}: a process was lost; goes on from step {step}")
            last = _last_line(settings.output / "metrics.jsonl")
            while last and done < last["step"]:
                done += 1
                display.step(last["loss"], last["tokens"] / max(last["seconds"], 1e-9))


def _last_line(path: Path) -> dict[str, Any] | None:
    """The last whole line, if there is one."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = stream.read().split(b"\n")[:-1]
        return dict(json.loads(lines[-1])) if lines else None
    except (OSError, ValueError):
        return None
