"""The lab's page: one HTML file with everything in it."""

from __future__ import annotations

import base64
from pathlib import Path

from common.files import atomic_write
from training.labs.ladder import LabRun
from training.labs.scaling import Reading
from training.labs.scaling_config import ScalingConfig
from training.labs.scaling_plots import draw_all

TEMPLATES = Path(__file__).parent / "templates"


def write_page(config: ScalingConfig, runs: list[LabRun], readings: list[Reading]) -> list[Path]:
    """Draw the plots and write `<output>/index.html`; returns what was written. Raises FileError."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    chosen = next(reading for reading in readings if reading.count == config.parameters)
    pictures = draw_all(config.output, runs, chosen)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("scaling.html.j2").render(
        config=config, runs=runs, readings=readings, chosen=chosen, held_out=runs[-1],
        pictures={path.stem: _inline(path) for path in pictures},
        seconds=sum(run.seconds for run in runs),
    )  # fmt: skip
    path = config.output / "index.html"
    atomic_write(path, page)
    return [config.output / "result.json", *pictures, path]


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
