"""`python -m training lab …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Overrides, with_paths

CONFIGS = Path(__file__).parents[1] / "configs"

lab = typer.Typer(
    help="Experiments about training: scaling laws, cost, memory, hardware switches.", no_args_is_help=True
)


@lab.command()
def scaling(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIGS / "lab-scaling.yaml",
    overrides: Overrides = None,
    data: Annotated[Path | None, typer.Option(help="folder of a prepared text data set")] = None,
    output: Annotated[Path | None, typer.Option(help="folder for runs, result.json, plots, page")] = None,
) -> None:
    """Train a grid of sizes and budgets, fit L(N, D), predict a larger run; goes on after an interruption."""
    from training.labs.scaling import scaling_lab, table
    from training.labs.scaling_config import ScalingConfig
    from training.labs.scaling_page import write_page

    settings = ScalingConfig.from_yaml(config, with_paths(overrides, data=data, output=output))
    runs, readings = scaling_lab(settings)
    print(table(runs, readings))
    for path in write_page(settings, runs, readings):
        print(f"written: {path}")
