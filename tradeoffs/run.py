"""Start the main job: which configuration, whose data, and one job at a time."""

from __future__ import annotations

import fcntl
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from common.errors import ConfigError, TriviumError
from common.stages import State
from tradeoffs.config import DemoConfig
from tradeoffs.demo import demo


class BusyError(TriviumError):
    """The same job runs already."""


def config_for(budget: str, data: Path | None, configs: Path) -> Path:
    """The configuration of a budget; own data without one takes `own-data`. Raises ConfigError."""
    budget = budget or ("own-data" if data else "demo")
    path = configs / f"{budget}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in configs.glob("*.yaml")))
        raise ConfigError(f"--budget {budget!r}: there are {known}")
    return path


def data_overrides(data: Path | None) -> list[str]:
    """What changes where a person brings data: its source, and names that keep its outputs apart.

    Raises ConfigError where the path is not there.
    """
    if data is None:
        return []
    if not data.exists():
        raise ConfigError(f"--data {data}: no such file or folder")
    name = re.sub(r"[^a-z0-9]+", "-", data.resolve().name.split(".")[0].lower()).strip("-") or "own"
    sources = json.dumps([f"name={name}", f"source={data}"])
    return [f"name={name}", f"bundle.version={name}", f"data.set={sources}"]


def run_demo(config_path: Path, overrides: list[str], console: Console) -> State:
    """Run the job and say where the report is. Raises BusyError where it runs already."""
    config = DemoConfig.from_yaml(config_path, overrides)
    started = time.monotonic()
    with _only_one(config.folder / "lock"):
        state = demo(config, config_path, overrides, console)
    seconds = sum(done.seconds for done in state.stages.values())
    peak = max(done.peak_memory_bytes for done in state.stages.values())
    console.print(
        f"\n[bold green]report: {config.report / 'index.html'}[/]\n"
        f"{time.monotonic() - started:.0f} s now, {seconds / 60:.1f} min for all stages, "
        f"peak memory {peak / 1e9:.1f} GB",
        highlight=False,
    )
    return state


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BusyError(f"{path.parent}: this job runs already; wait for it or end it") from exc
        yield
