"""Start the main job: which configuration, whose data, and one job at a time."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from common.errors import ConfigError
from common.jobs import only_one, own_data
from common.stages import State
from tradeoffs.config import DemoConfig
from tradeoffs.demo import demo


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
    name, data_set = own_data(data)
    return [f"name={name}", f"bundle.version={name}", data_set]


def run_demo(config_path: Path, overrides: list[str], console: Console) -> State:
    """Run the job and say where the report is. Raises BusyError where it runs already."""
    config = DemoConfig.from_yaml(config_path, overrides)
    started = time.monotonic()
    with only_one(config.folder / "lock"):
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
