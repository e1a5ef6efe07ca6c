"""`python -m tradeoffs report`: the pages from the last measurements; registered by `tradeoffs.__main__`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tradeoffs.report.model import ReportInput
from tradeoffs.report.prices import PRICE_FILE

RESULTS = Path("runs/demo/results.json")
REPORT = Path("reports/tradeoffs")


def report(
    results: Annotated[
        Path, typer.Option("--input", help="measurements, as `collect` writes them")
    ] = RESULTS,
    output: Annotated[Path, typer.Option(help="folder for the pages and plots")] = REPORT,
    prices: Annotated[Path, typer.Option(help="what the roads cost")] = PRICE_FILE,
) -> None:
    """Write the page, its plots, Markdown and JSON from measurements that are there."""
    from tradeoffs.report.write import write_report

    written = write_report(ReportInput.read(results), output, prices)
    print(f"report      {written}")
