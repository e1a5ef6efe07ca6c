"""Run the suite: settings, own data, one at a time."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from common.errors import ConfigError, TriviumError
from common.stages import State, run_stages
from training.curriculum.plan import stages
from training.curriculum.suite import SuiteConfig


def own_data(data: Path | None) -> list[str]:
    """What changes where a person brings data: its source, and names that keep its outputs apart.

    Raises ConfigError where the path is not there.
    """
    if data is None:
        return []
    if not data.exists():
        raise ConfigError(f"--data {data}: no such file or folder")
    name = "".join(c if c.isalnum() else "-" for c in data.resolve().name.split(".")[0].lower()).strip("-")
    settings = json.dumps([f"name={name or 'own'}", f"source={data}"])
    return [f"data.set={settings}", f"runs=runs/train-all-{name or 'own'}"]


def run_suite(config: SuiteConfig, console: Console) -> State:
    """Run what is not done yet, then write the page. Raises TriviumError naming the stage that failed."""
    config.runs.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with _only_one(config.runs / "lock"):
        state = run_stages(stages(config), config.runs / "state.json", console)
    seconds = sum(done.seconds for done in state.stages.values())
    console.print(
        f"\n[bold green]comparison: {config.report / 'index.html'}[/]\n"
        f"{time.monotonic() - started:.0f} s now, {seconds / 60:.1f} min for all stages",
        highlight=False,
    )
    return state


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise TriviumError(f"{path.parent}: this suite runs already; wait for it or end it") from exc
        yield
