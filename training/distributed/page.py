"""The comparison's page: one HTML file with everything in it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.files import atomic_write
from training.distributed import plots

if TYPE_CHECKING:
    from training.distributed.compare import Compared

TEMPLATES = Path(__file__).parent / "templates"


def write_page(output: Path, compared: list[Compared], figures: dict[str, Any]) -> list[Path]:
    """Draw the plots and write `index.html`; returns what was written. Raises FileError."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pictures = plots.write_plots(output, _plots(compared, figures))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("compare.html.j2").render(
        runs=figures["runs"], cores=figures["cores"], first=compared[0],
        most=max(row["workers"] for row in figures["runs"]),
        pictures={path.stem: _inline(path) for path in pictures},
    )  # fmt: skip
    atomic_write(output / "index.html", page)
    return [*pictures, output / "index.html"]


def _plots(compared: list[Compared], figures: dict[str, Any]) -> dict[str, plots.Draw]:
    """Those that there is something to show for."""
    rows = figures["runs"]
    curves = {each.run.label: each.metrics for each in compared if each.run.strategy != "pipeline"}
    drawn = {"loss": plots.loss_against_samples(curves), "speed": plots.speed(rows, figures["cores"])}
    if stale := [row for row in rows if row["staleness"]]:
        drawn["staleness"] = plots.staleness(stale)
    if piped := [row for row in rows if row["bubble_share"] is not None]:
        drawn["bubble"] = plots.bubbles(piped)
    return drawn


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
