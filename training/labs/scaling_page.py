"""The lab's page: one HTML file with everything in it, and its plots as one PNG."""

from __future__ import annotations

import datetime
from pathlib import Path

from markupsafe import Markup

from common.files import atomic_write
from common.machine import this_machine, versions
from common.pages import templates
from common.pages.panels import png, svg
from training.labs.ladder import LabRun
from training.labs.scaling import Reading
from training.labs.scaling_config import ScalingConfig
from training.labs.scaling_plots import panels
from training.provenance import command_line

TEMPLATES = Path(__file__).parent / "templates"


def write_page(config: ScalingConfig, runs: list[LabRun], readings: list[Reading]) -> list[Path]:
    """Draw the plots and write `<output>/index.html`; returns what was written. Raises FileError."""
    chosen = next(reading for reading in readings if reading.count == config.parameters)
    *smaller, largest = [run.parameters(chosen.count) for run in runs]
    drawn = panels(runs, chosen)
    template = templates.environment(TEMPLATES, autoescape=True).get_template("scaling.html.j2")
    page = template.render(
        config=config, runs=runs, readings=readings, chosen=chosen, held_out=runs[-1],
        larger=largest / max(smaller),
        plots=[(panel, Markup(svg(panel))) for panel in drawn], machine=this_machine(),
        versions=versions(("torch", "scipy")), command=command_line(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"), **templates.style(),
    )  # fmt: skip
    png(drawn, config.output / "plots.png")
    atomic_write(config.output / "index.html", page)
    return [config.output / name for name in ("result.json", "plots.png", "index.html")]
