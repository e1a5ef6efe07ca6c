"""Run the suite: settings, own data, one at a time."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.console import Console

from common import jobs
from common.stages import State, run_stages
from training.curriculum.plan import stages
from training.curriculum.suite import SuiteConfig

_CONFIGS = Path(__file__).parents[1] / "configs"
_BUILT_IN_BASE = {
    "config": str(_CONFIGS / "data-demo.yaml"),
    "set": ["name=curriculum-base", "seed=2", "generator.pairs=12000"],
}
"""What the base model learns from where the task is a person's own: the whole built-in corpus."""


def own_data(data: Path | None) -> list[str]:
    """What changes where a person brings data: its source, names that keep its outputs apart, and a
    base model that has not seen it.

    Raises ConfigError where the path is not there.
    """
    if data is None:
        return []
    name, data_set = jobs.own_data(data)
    return [data_set, f"runs=runs/train-all-{name}", "base_data=" + json.dumps(_BUILT_IN_BASE)]


def run_suite(config: SuiteConfig, console: Console) -> State:
    """Run what is not done yet, then write the page. Raises TriviumError naming the stage that failed."""
    started = time.monotonic()
    with jobs.only_one(config.runs / "lock"):
        state = run_stages(stages(config), config.runs / "state.json", console)
    seconds = sum(done.seconds for done in state.stages.values())
    console.print(
        f"\n[bold green]comparison: {config.report / 'index.html'}[/]\n"
        f"{time.monotonic() - started:.0f} s now, {seconds / 60:.1f} min for all stages",
        highlight=False,
    )
    return state
