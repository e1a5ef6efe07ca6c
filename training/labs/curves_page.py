"""The page of pretraining curves: one HTML file with everything in it, and its plots as one PNG."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from common.files import atomic_write
from common.machine import this_machine, versions
from common.pages import templates
from common.pages.panels import Panel, log_ticks, png, svg
from common.pages.theme import Theme, distinct
from training.labs.curves import Curve, figures
from training.provenance import command_line

TEMPLATES = Path(__file__).parent / "templates"
_SMOOTHED = 100
"""Points of a training curve; each is the mean of the steps around it."""


def write_page(output: Path, curves: Sequence[Curve]) -> list[Path]:
    """Write result.json, plots.png and index.html into `output`; returns their paths. Raises FileError."""
    rows = [figures(curve) for curve in curves]
    drawn = panels(curves)
    template = templates.environment(TEMPLATES, autoescape=True).get_template("curves.html.j2")
    page = template.render(
        curves=curves, rows=rows, distinct=distinct, plots=[(panel, Markup(svg(panel))) for panel in drawn],
        machine=this_machine(), versions=versions(("torch",)), command=command_line(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"), **templates.style(),
    )  # fmt: skip
    atomic_write(output / "result.json", json.dumps(rows, indent=2) + "\n")
    png(drawn, output / "plots.png")
    atomic_write(output / "index.html", page)
    return [output / name for name in ("result.json", "plots.png", "index.html")]


def panels(curves: Sequence[Curve]) -> list[Panel]:
    """Perplexity and bits per character, both by tokens."""

    def perplexity(axes: Axes, theme: Theme) -> None:
        _draw(axes, theme, curves, lambda _, loss: math.exp(loss), with_training=True)
        axes.set(ylabel="perplexity", yscale="log")
        log_ticks(axes.yaxis)

    def bits(axes: Axes, theme: Theme) -> None:
        _draw(axes, theme, curves, Curve.bits, with_training=False)
        axes.set(ylabel="bits per character")

    return [
        Panel("perplexity", "Perplexity by tokens seen",
              "Points: the dev split. Thin lines: training, mean of neighbouring steps. Compare runs of one "
              "tokenizer only.", perplexity),
        Panel("bits", "Bits per character by tokens seen",
              "Dev loss over the text, whatever the tokenizer: these compare any two runs on the same texts.",
              bits),
    ]  # fmt: skip


def _draw(
    axes: Axes,
    theme: Theme,
    curves: Sequence[Curve],
    value: Callable[[Curve, float], float],
    *,
    with_training: bool,
) -> None:
    for number, curve in enumerate(curves):
        colour = theme.distinct(number)
        if with_training:
            tokens, losses = smoothed(curve.steps)
            axes.plot(tokens, [value(curve, loss) for loss in losses], color=colour, lw=0.9, alpha=0.55)
        axes.plot(
            [step["tokens"] for step in curve.measured],
            [value(curve, step["dev_loss"]) for step in curve.measured],
            "o-", color=colour, lw=1.5, markersize=3.5, label=curve.name,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="tokens seen")
    log_ticks(axes.xaxis)
    axes.legend(fontsize=8.5, frameon=False, labelcolor=theme.ink)


def smoothed(steps: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """(tokens, training loss): means over at most `_SMOOTHED` stretches of equal length in log tokens."""
    tokens = np.array([step["tokens"] for step in steps], float)
    losses = np.array([step["loss"] for step in steps], float)
    edges = np.geomspace(tokens[0], tokens[-1], _SMOOTHED + 1)
    stretch = np.clip(np.searchsorted(edges, tokens, side="right"), 1, _SMOOTHED)
    groups = [np.flatnonzero(stretch == one) for one in np.unique(stretch)]
    means = [[float(values[group].mean()) for group in groups] for values in (tokens, losses)]
    return means[0], means[1]
