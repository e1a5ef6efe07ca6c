"""The study in one picture: quality against the number of training inputs, one line per start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import atomic_path

if TYPE_CHECKING:
    from training.transfer.job import Point

_COLOURS = {"pretrained": "#0f766e", "random": "#c2410c"}
_NAMES = {"pretrained": "from the pretrained model", "random": "from nothing"}


def draw(path: Path, points: Sequence[Point], metric: str = "bleu") -> None:
    """Write the PNG at `path`; bars are 95 % intervals. Raises FileError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for start, colour in _COLOURS.items():
        line = sorted((p for p in points if p.start == start), key=lambda p: p.inputs)
        found = [p.figure(metric) for p in line]
        values = [f.value for f in found]
        below = [f.value - (f.value if f.ci_low is None else f.ci_low) for f in found]
        above = [(f.value if f.ci_high is None else f.ci_high) - f.value for f in found]
        axes.errorbar(
            [p.inputs for p in line], values, yerr=[below, above], fmt="o-", color=colour, markersize=4,
            linewidth=1.4, capsize=3, label=_NAMES[start],
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    inputs = sorted({p.inputs for p in points})
    axes.set_xticks(inputs, [f"{n:,}" for n in inputs])
    axes.set_xlabel("distinct training inputs (equal steps at every size)")
    axes.set_ylabel(f"{metric.upper()} on {points[0].figure(metric).n} dev inputs, 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#d9dee3", linewidth=0.7)
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
