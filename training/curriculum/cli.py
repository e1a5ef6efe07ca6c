"""`python -m training all` and `python -m training compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Overrides

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


def train_all(
    config: Annotated[Path, typer.Option(help="YAML file; train-all-tiny.yaml is for a quick look")] = (
        _CONFIGS / "train-all.yaml"
    ),
    data: Annotated[Path | None, typer.Option(help="your own data: a file or folder")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="seeds of the headline techniques")] = None,
    overrides: Overrides = None,
) -> None:
    """Train every technique on the same task, then compare. Started again, it continues where it was."""
    from rich.console import Console

    from training.curriculum.run import own_data, run_suite
    from training.curriculum.suite import SuiteConfig

    given = [*own_data(data), *([f"seeds={seeds}"] if seeds else []), *(overrides or [])]
    run_suite(SuiteConfig.from_yaml(config, given), Console())
