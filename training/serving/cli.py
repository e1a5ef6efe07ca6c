"""`python -m training serving`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Overrides

_CONFIGS = Path(__file__).parents[1] / "configs"


def serving(
    runs: Annotated[Path, typer.Option(help="folder below which the outcomes are")] = Path("runs/train-all"),
    config: Annotated[Path, typer.Option(help="YAML file")] = _CONFIGS / "serving.yaml",
    overrides: Overrides = None,
    fresh: Annotated[
        bool, typer.Option(help="measure even where nothing has changed since the last time")
    ] = False,
) -> None:
    """Measure output tokens per second of every result of a suite, in turns; written into the outcomes."""
    from rich.console import Console

    from training.provenance import command_line
    from training.serving.job import measure_serving
    from training.serving.settings import ServingConfig

    settings = ServingConfig.from_yaml(config, overrides)
    measure_serving(runs, settings, Console(), command_line(), fresh=fresh)
