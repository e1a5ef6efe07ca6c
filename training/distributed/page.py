"""The comparison's page: one HTML file with everything in it, and its plots as one PNG."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from common.files import atomic_write
from common.machine import this_machine, versions
from common.pages import templates
from common.pages.panels import png, svg
from training.distributed.plots import COLOURS, panels
from training.provenance import command_line

if TYPE_CHECKING:
    from training.distributed.compare import Compared

TEMPLATES = Path(__file__).parent / "templates"


def write_page(output: Path, compared: list[Compared], figures: dict[str, Any]) -> list[Path]:
    """Draw the plots and write `index.html`; returns what was written. Raises FileError."""
    drawn = panels(compared, figures)
    png(drawn, output / "plots.png")
    template = templates.environment(TEMPLATES, autoescape=True).get_template("compare.html.j2")
    page = template.render(
        first=compared[0].result, runs=figures["runs"], spread=figures["seed_spread"],
        seeds=figures["seeds"], sentences=summary(figures), machine=this_machine(), colours=COLOURS,
        most=max(row["workers"] for row in figures["runs"]), versions=versions(("torch", "ray")),
        plots=[(panel, Markup(svg(panel))) for panel in drawn], command=command_line(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"), **templates.style(),
    )  # fmt: skip
    atomic_write(output / "index.html", page)
    return [output / "plots.png", output / "index.html"]


def summary(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """What follows from the figures: the beginning of each sentence, and the rest."""
    rows, spread = figures["runs"], figures["seed_spread"]
    first = rows[0]
    others = [row for row in rows[1:] if row["seed"] == first["seed"]]
    noise = f"; between seeds it differs by {spread:.4f}" if spread is not None else ""
    sentences = []
    if synchronous := [row for row in others if row["strategy"] != "async"]:
        apart = max(abs(row["dev_loss"] - first["dev_loss"]) for row in synchronous)
        count = f"{len(synchronous)} synchronous {'runs end' if len(synchronous) > 1 else 'run ends'}"
        sentences.append((f"Synchronous training on N workers is training on one: {count}", (
            f"within {apart:.1e} nats of the dev loss of one worker ({first['dev_loss']:.4f}){noise}."
        )))  # fmt: skip
    for row in others:
        if row["strategy"] == "async" and row["workers"] > 1:
            gap, stale = row["dev_loss"] - first["dev_loss"], row["staleness"]
            sentences.append((f"{row['label']}:", (
                f"staleness {stale['mean']:.2f} on average, {stale['max']} at most; dev loss {gap:+.4f} at "
                f"equal samples; {row['speed_up']:.2f} times the rows per second of one worker."
            )))  # fmt: skip
    return sentences
