"""`python -m training all` and `python -m training compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_CONFIGS = Path(__file__).parents[1] / "configs"
RUNS = Path("runs/train-all")
REPORT = Path("reports/training")


def compare(
    runs: Annotated[Path, typer.Option(help="folder below which the outcomes are")] = RUNS,
    output: Annotated[Path, typer.Option(help="folder for the page, plots, Markdown and JSON")] = REPORT,
    prices: Annotated[Path, typer.Option(help="what the machine costs")] = _CONFIGS / "prices.yaml",
) -> None:
    """Compare all techniques: table with intervals, Pareto plots, paired tests, what to use when, samples."""
    from training.curriculum.page import write_comparison
    from training.provenance import command_line

    print(f"comparison  {write_comparison(runs, output, prices, command_line())}")
