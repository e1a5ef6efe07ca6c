"""What jobs of several stages share: one at a time, and names for a person's own data."""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import ConfigError, TriviumError


class BusyError(TriviumError):
    """The same job runs already."""


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold the file `lock`, made where it is missing. Raises BusyError where another process has it.

    The system frees it when the process ends, however it ends.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BusyError(f"{lock}: this job runs already; wait for it or end it") from exc
        yield


def own_data(data: Path) -> tuple[str, str]:
    """A name that keeps the outputs of a person's data apart, and the override `data.set=…` that reads it.

    Raises ConfigError where the path is not there.
    """
    if not data.exists():
        raise ConfigError(f"--data {data}: no such file or folder")
    name = re.sub(r"[^a-z0-9]+", "-", data.resolve().name.split(".")[0].lower()).strip("-") or "own"
    return name, "data.set=" + json.dumps([f"name={name}", f"source={data}"])
