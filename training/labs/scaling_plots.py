"""The lab in three pictures: loss against compute, loss at equal compute, predicted against measured loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.files import atomic_path
from training.labs.fit import FLOPS_PER_PARAMETER_TOKEN, FloatArray, Law
from training.labs.ladder import LabRun
from training.labs.scaling import Reading

_INK, _MUTED, _LINE, _LAW, _HELD_OUT = "#17202a", "#5c6873", "#d9dee3", "#17202a", "#c2410c"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9.5, "text.color": _INK, "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": _LINE, "grid.linewidth": 0.7, "axes.axisbelow": True, "legend.frameon": False,
    "xtick.color": _MUTED, "ytick.color": _MUTED,
}  # fmt: skip
_SIZE = (6.4, 4.4)


def draw_all(folder: Path, runs: Sequence[LabRun], reading: Reading) -> list[Path]:
    """Write the three PNG files. Raises FileError."""
    pictures: dict[str, Callable[[Axes, Sequence[LabRun], Reading], None]] = {
        "loss-compute.png": loss_against_compute,
        "isoflop.png": loss_at_equal_compute,
        "predicted-measured.png": predicted_against_measured,
    }
    paths = []
    for name, draw in pictures.items():
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=_SIZE, layout="constrained")
            draw(figure.add_subplot(), runs, reading)
            with atomic_path(folder / name) as temporary:
                figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
        paths.append(folder / name)
    return paths


def compute(run: LabRun, reading: Reading) -> float:
    """6 N D of a run, with the reading's N."""
    return FLOPS_PER_PARAMETER_TOKEN * run.parameters(reading.count) * run.tokens


def loss_against_compute(axes: Axes, runs: Sequence[LabRun], reading: Reading) -> None:
    """A line per size as its budget grows, and the law's lowest loss of each budget of compute."""
    for colour, count, ladder in _ladders(runs, reading):
        axes.plot(
            [compute(run, reading) for run in ladder], [run.loss for run in ladder], "o-", color=colour,
            markersize=4, linewidth=1.2, label=f"{count / 1e6:.2f} M",
        )  # fmt: skip
    held_out = runs[-1]
    axes.plot(
        compute(held_out, reading), held_out.loss, "*", color=_HELD_OUT, markersize=11,
        label=f"held out, {held_out.parameters(reading.count) / 1e6:.2f} M",
    )  # fmt: skip
    if not reading.optima:  # there is no frontier to draw
        _finish_compute_axes(axes)
        return
    flops = np.geomspace(min(compute(r, reading) for r in runs), 1.5 * compute(held_out, reading), 60)
    law = reading.fitted.law
    band = np.array([[_lowest(each, c) for c in flops] for each in reading.fitted.resampled])
    axes.fill_between(flops, *np.quantile(band, [0.025, 0.975], axis=0), color=_MUTED, alpha=0.2, linewidth=0)
    axes.plot(
        flops, [_lowest(law, c) for c in flops], "--", color=_LAW, linewidth=1.4, label="fitted frontier"
    )
    _finish_compute_axes(axes)


def _finish_compute_axes(axes: Axes) -> None:
    axes.set(xscale="log", yscale="log", xlabel="compute 6 N D, FLOPs", ylabel="dev loss, nats per token")
    _plain_loss_ticks(axes)
    axes.legend(fontsize=8, title="parameters", title_fontsize=8)


def loss_at_equal_compute(axes: Axes, runs: Sequence[LabRun], reading: Reading) -> None:
    """The law along lines of equal compute, and the runs whose compute is close to one of them."""
    inside = [run for run in runs if not run.held_out]
    counts = [run.parameters(reading.count) for run in inside]
    costs = sorted(compute(run, reading) for run in inside)
    levels = np.geomspace(np.quantile(costs, 0.3), np.quantile(costs, 0.85), 4)
    sizes = np.geomspace(min(counts) / 2, max(counts) * 2, 80)
    law = reading.fitted.law
    for colour, flops in zip(_colours(len(levels)), levels, strict=True):
        tokens = flops / FLOPS_PER_PARAMETER_TOKEN / sizes
        axes.plot(sizes, _losses(law, sizes, tokens), color=colour, linewidth=1.3, label=f"{flops:.1e} FLOPs")
        close = [run for run in inside if abs(np.log(compute(run, reading) / flops)) < np.log(1.35)]
        axes.plot(
            [r.parameters(reading.count) for r in close],
            [r.loss for r in close],
            "o",
            color=colour,
            markersize=5,
        )
        best = law.optimum(float(flops))
        if sizes[0] <= best[0] <= sizes[-1]:
            axes.plot(best[0], law.loss(*best), "v", color=colour, markersize=7)
    axes.set(xscale="log", xlabel="parameters N", ylabel="dev loss, nats per token")
    axes.legend(
        fontsize=8, title="lines: law, points: runs within 35 %,\ntriangles: optimum", title_fontsize=8
    )


def predicted_against_measured(axes: Axes, runs: Sequence[LabRun], reading: Reading) -> None:
    """Every run against the law; the held-out one with its interval."""
    law = reading.fitted.law
    fitted = [run for run in runs if not run.held_out]
    by_law = [law.loss(run.parameters(reading.count), run.tokens) for run in fitted]
    measured = [run.loss for run in fitted]
    axes.plot(by_law, measured, "o", color="#0b6bcb", markersize=5, label="runs of the fit")
    predicted, held_out = reading.predicted, runs[-1]
    span = [[predicted.value - predicted.low], [predicted.high - predicted.value]]
    axes.errorbar(
        [predicted.value], [held_out.loss], xerr=np.maximum(span, 0), fmt="*", color=_HELD_OUT, markersize=11,
        capsize=3, label=f"held out: {reading.error_percent:+.2f} %",
    )  # fmt: skip
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color=_MUTED, linewidth=1, label="equal")
    axes.set(xlabel="predicted dev loss, nats per token", ylabel="measured dev loss")
    axes.legend(fontsize=8)


def _ladders(runs: Sequence[LabRun], reading: Reading) -> Iterator[tuple[str, int, list[LabRun]]]:
    counts = sorted({run.parameters(reading.count) for run in runs if not run.held_out})
    for colour, count in zip(_colours(len(counts)), counts, strict=True):
        yield colour, count, [r for r in runs if r.parameters(reading.count) == count and not r.held_out]


def _colours(count: int) -> list[str]:
    steps = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, count))
    return [mpl.colors.to_hex(step) for step in steps]


def _losses(law: Law, sizes: FloatArray, tokens: FloatArray) -> list[float]:
    return [law.loss(float(n), float(d)) for n, d in zip(sizes, tokens, strict=True)]


def _lowest(law: Law, flops: float) -> float:
    return law.loss(*law.optimum(flops))


def _plain_loss_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}"))
