"""The comparison in pictures: loss against samples, staleness, bubbles, speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.files import atomic_path

Rows = Sequence[dict[str, Any]]
"""Rows of the comparison's result.json."""
Draw = Callable[[Axes], None]

_COLOURS = ("#17202a", "#0b6bcb", "#c2410c", "#0f766e", "#7c3aed", "#a16207", "#be185d", "#4d7c0f")
_MUTED, _LINE = "#5c6873", "#d9dee3"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9.5, "axes.edgecolor": _LINE, "axes.labelcolor": _MUTED,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": _LINE,
    "grid.linewidth": 0.7, "axes.axisbelow": True, "legend.frameon": False, "xtick.color": _MUTED,
    "ytick.color": _MUTED,
}  # fmt: skip
_SIZE = (6.4, 4.2)


def write_plots(folder: Path, plots: dict[str, Draw]) -> list[Path]:
    """Write `<folder>/<name>.png` of each. Raises FileError."""
    paths = []
    for name, draw in plots.items():
        path = folder / f"{name}.png"
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=_SIZE, layout="constrained")
            draw(figure.add_subplot())
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
        paths.append(path)
    return paths


def loss_against_samples(curves: dict[str, list[dict[str, Any]]]) -> Draw:
    """Running mean of the training loss (thin) and dev loss (points) of each run."""

    def draw(axes: Axes) -> None:
        for number, (label, metrics) in enumerate(curves.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            rows = [line["rows"] for line in metrics]
            axes.plot(rows, _smooth([line["loss"] for line in metrics]), color=colour, lw=1.1, alpha=0.75)
            measured = [line for line in metrics if "dev_loss" in line]
            axes.plot(
                [line["rows"] for line in measured], [line["dev_loss"] for line in measured], "o",
                color=colour, markersize=4.5, markerfacecolor="none" if number else colour, label=label,
            )  # fmt: skip
        axes.set(xlabel="packed rows trained on", ylabel="loss, nats per token", yscale="log")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter("{x:.1f}")
        axes.yaxis.set_minor_formatter("")
        axes.legend(fontsize=8)

    return draw


def staleness(rows: Rows) -> Draw:
    """Share of pushes of each staleness."""

    def draw(axes: Axes) -> None:
        width = 0.8 / len(rows)
        for number, row in enumerate(rows):
            counts = {int(k): n for k, n in row["staleness"]["histogram"].items()}
            total = sum(counts.values())
            places = np.array(list(counts)) + (number - (len(rows) - 1) / 2) * width
            label = f"{row['label']} (mean {row['staleness']['mean']:.2f})"
            shares = [n / total for n in counts.values()]
            axes.bar(places, shares, width, color=_COLOURS[1 + number % 7], label=label)
        axes.set(xlabel="updates by others between pull and push", ylabel="share of pushes")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=8)

    return draw


def bubbles(rows: Rows) -> Draw:
    """Idle share of the stages: measured, by the formula, and by the formula with the stages' own times."""

    def draw(axes: Axes) -> None:
        names = [row["label"] for row in rows]
        series = (
            ("bubble_share", "measured", "o-", _COLOURS[2]),
            ("bubble_imbalanced", "formula, with the stages' measured seconds", "s--", _COLOURS[1]),
            ("bubble_formula", "formula (p - 1) / (m + p - 1)", "^:", _COLOURS[0]),
        )
        for key, label, style, colour in series:
            axes.plot(names, [row[key] for row in rows], style, color=colour, markersize=5, label=label)
        axes.set(ylabel="share of a step that a stage idles", ylim=(0, 1))
        axes.tick_params(axis="x", labelsize=8)
        axes.legend(fontsize=8)

    return draw


def speed(rows: Rows, cores: int) -> Draw:
    """Rows per second of each run, against the first."""

    def draw(axes: Axes) -> None:
        labels = [row["label"] for row in rows]
        values = [row["rows_per_second"] for row in rows]
        colours = {"ddp": _COLOURS[1], "fsdp": _COLOURS[3], "pipeline": _COLOURS[5], "async": _COLOURS[2]}
        axes.barh(labels, values, 0.65, color=[colours[row["strategy"]] for row in rows])
        for place, (value, row) in enumerate(zip(values, rows, strict=True)):
            axes.annotate(
                f"{value:.1f} (x {row['speed_up']:.2f})", (value, place), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
        axes.axvline(values[0] * cores, color=_MUTED, lw=1, ls=":")
        axes.set(
            xlabel=f"packed rows per second; dotted: {cores} cores x the first", xlim=(0, 1.25 * max(values))
        )
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", labelsize=8)

    return draw


def _smooth(values: Sequence[float], window: int = 9) -> list[float]:
    """Mean over the last `window` values."""
    return [float(np.mean(values[max(0, i - window + 1) : i + 1])) for i in range(len(values))]
