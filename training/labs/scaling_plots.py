"""The lab in three pictures: loss against compute, loss at equal compute, predicted against measured loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from common.pages.panels import Panel, log_ticks
from common.pages.theme import Theme
from training.labs.fit import FLOPS_PER_PARAMETER_TOKEN, FloatArray, Law
from training.labs.ladder import LabRun
from training.labs.scaling import Reading

_HELD_OUT = 4
"""Index of its colour in `Theme.lanes`."""


def panels(runs: Sequence[LabRun], reading: Reading) -> list[Panel]:
    """The three pictures."""
    return [
        Panel("loss-compute", "Dev loss against compute",
              "Each line is one size with growing budgets; the dashed line is the lowest loss that the law "
              "expects of each budget of compute.",
              lambda axes, theme: loss_against_compute(axes, theme, runs, reading), height=4.2),
        Panel("isoflop", "The same compute, spent two ways",
              "On small models and many tokens (left) or the reverse (right). Lines: law, points: runs "
              "within 35 %, triangles: optimum.",
              lambda axes, theme: loss_at_equal_compute(axes, theme, runs, reading), height=4.2),
        Panel("predicted-measured", "Law and measurement",
              "Each run by the loss that the law predicts of it; the held-out one with its 95 % interval.",
              lambda axes, theme: predicted_against_measured(axes, theme, runs, reading), height=4.2),
    ]  # fmt: skip


def compute(run: LabRun, reading: Reading) -> float:
    """6 N D of a run, with the reading's N."""
    return FLOPS_PER_PARAMETER_TOKEN * run.parameters(reading.count) * run.tokens


def loss_against_compute(axes: Axes, theme: Theme, runs: Sequence[LabRun], reading: Reading) -> None:
    """A line per size as its budget grows, and the law's lowest loss of each budget of compute."""
    for colour, count, ladder in _ladders(theme, runs, reading):
        axes.plot(
            [compute(run, reading) for run in ladder], [run.loss for run in ladder], "o-", color=colour,
            markersize=4, linewidth=1.2, label=f"{count / 1e6:.2f} M",
        )  # fmt: skip
    held_out = runs[-1]
    axes.plot(
        compute(held_out, reading), held_out.loss, "*", color=theme.lane(_HELD_OUT), markersize=11,
        label=f"held out, {held_out.parameters(reading.count) / 1e6:.2f} M",
    )  # fmt: skip
    if not reading.optima:  # there is no frontier to draw
        _finish_compute_axes(axes, theme)
        return
    flops = np.geomspace(min(compute(r, reading) for r in runs), 1.5 * compute(held_out, reading), 60)
    law = reading.fitted.law
    band = np.array([[_lowest(each, c) for c in flops] for each in reading.fitted.resampled])
    axes.fill_between(
        flops, *np.quantile(band, [0.025, 0.975], axis=0), color=theme.muted, alpha=0.2, linewidth=0
    )
    axes.plot(
        flops, [_lowest(law, c) for c in flops], "--", color=theme.ink, linewidth=1.4, label="fitted frontier"
    )
    _finish_compute_axes(axes, theme)


def _finish_compute_axes(axes: Axes, theme: Theme) -> None:
    axes.set(xscale="log", yscale="log", xlabel="compute 6 N D, FLOPs", ylabel="dev loss, nats per token")
    _plain_loss_ticks(axes)
    log_ticks(axes.xaxis)
    _legend(axes, theme, "parameters")


def loss_at_equal_compute(axes: Axes, theme: Theme, runs: Sequence[LabRun], reading: Reading) -> None:
    """The law along lines of equal compute, and the runs whose compute is close to one of them."""
    inside = [run for run in runs if not run.held_out]
    counts = [run.parameters(reading.count) for run in inside]
    costs = sorted(compute(run, reading) for run in inside)
    levels = np.geomspace(np.quantile(costs, 0.3), np.quantile(costs, 0.85), 4)
    sizes = np.geomspace(min(counts) / 2, max(counts) * 2, 80)
    law = reading.fitted.law
    for number, flops in enumerate(levels):
        colour = theme.distinct(number)
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
    log_ticks(axes.xaxis)
    _legend(axes, theme)


def predicted_against_measured(axes: Axes, theme: Theme, runs: Sequence[LabRun], reading: Reading) -> None:
    """Every run against the law; the held-out one with its interval."""
    law = reading.fitted.law
    fitted = [run for run in runs if not run.held_out]
    by_law = [law.loss(run.parameters(reading.count), run.tokens) for run in fitted]
    measured = [run.loss for run in fitted]
    axes.plot(by_law, measured, "o", color=theme.distinct(0), markersize=5, label="runs of the fit")
    predicted, held_out = reading.predicted, runs[-1]
    span = [[predicted.value - predicted.low], [predicted.high - predicted.value]]
    axes.errorbar(
        [predicted.value], [held_out.loss], xerr=np.maximum(span, 0), fmt="*", color=theme.lane(_HELD_OUT),
        markersize=11, capsize=3, label=f"held out: {reading.error_percent:+.2f} %",
    )  # fmt: skip
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color=theme.muted, linewidth=1, label="equal")
    axes.set(xlabel="predicted dev loss, nats per token", ylabel="measured dev loss")
    _legend(axes, theme)


def _ladders(
    theme: Theme, runs: Sequence[LabRun], reading: Reading
) -> Iterator[tuple[str, int, list[LabRun]]]:
    counts = sorted({run.parameters(reading.count) for run in runs if not run.held_out})
    for number, count in enumerate(counts):
        ladder = [r for r in runs if r.parameters(reading.count) == count and not r.held_out]
        yield theme.distinct(number), count, ladder


def _legend(axes: Axes, theme: Theme, title: str = "") -> None:
    axes.legend(fontsize=8, title=title, title_fontsize=8, frameon=False, labelcolor=theme.ink)


def _losses(law: Law, sizes: FloatArray, tokens: FloatArray) -> list[float]:
    return [law.loss(float(n), float(d)) for n, d in zip(sizes, tokens, strict=True)]


def _lowest(law: Law, flops: float) -> float:
    return law.loss(*law.optimum(flops))


def _plain_loss_ticks(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}"))
