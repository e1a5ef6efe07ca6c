"""The machine and the versions behind a measurement."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil
from pydantic import Field

from common.config import StrictModel


class Machine(StrictModel):
    """Where everything ran, server and client together."""

    cpu: str
    cores: int = Field(gt=0)
    ram_bytes: int = Field(gt=0)
    os: str
    accelerator: str | None = None


def this_machine() -> Machine:
    """What this process runs on."""
    names = [line.split(":", 1)[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    release = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return Machine(
        cpu=names[0] if names else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        ram_bytes=psutil.virtual_memory().total,
        os=f"{release}, Linux {platform.release()}, {platform.machine()}",
    )


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Python's version and those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
