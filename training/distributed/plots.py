"""The comparison in pictures: differences to one worker, loss at equal samples, staleness, bubbles, speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from common.pages.panels import Panel
from common.pages.theme import Theme

if TYPE_CHECKING:
    from training.distributed.compare import Compared

Rows = Sequence[dict[str, Any]]
"""Rows of the comparison's result.json."""

COLOURS = {"ddp": 0, "fsdp": 6, "pipeline": 2, "async": 4}
"""Strategy → index into `Theme.lanes`; the next one is a shade of it."""
_STYLES = ("-", "--", ":")
_ROW_INCHES = 0.29
_SMALLEST = 1e-8
"""Nats: two curves that are the same to the bit, on a logarithmic axis."""


def panels(compared: Sequence[Compared], figures: dict[str, Any]) -> list[Panel]:
    """Those that there is something to show for; the first run is that of one worker."""
    rows, first = figures["runs"], compared[0]
    synchronous = [each for each in compared[1:] if each.run.strategy != "async" and not each.is_repeat]
    asynchronous = [each for each in compared if each.run.strategy == "async"]
    made = []
    if synchronous:
        made.append(_differences(first, synchronous, figures["seed_spread"]))
    if asynchronous:
        made.append(_curves([first, *asynchronous]))
    if stale := [row for row in rows if row["staleness"]]:
        made.append(_staleness(stale))
    made.append(_speed(rows, figures["cores"]))
    if piped := [row for row in rows if row["bubble_share"] is not None]:
        made.append(_bubbles(piped))
    return made


def _differences(first: Compared, others: Sequence[Compared], spread: float | None) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        seen: dict[str, int] = {}
        for each in others:
            number = seen[each.run.strategy] = seen.get(each.run.strategy, -1) + 1
            colour = theme.lane(COLOURS[each.run.strategy] + number % 2)
            steps = [line["step"] for line in each.metrics]
            apart = np.maximum(each.differences(first), _SMALLEST)
            axes.plot(
                steps, apart, ("-", "--", ":")[number // 2 % 3], color=colour, lw=1.3, label=each.run.label
            )
        if spread:
            axes.axhline(spread, color=theme.ink, lw=1, ls=(0, (5, 3)), label="dev loss between seeds")
        axes.set(xlabel="step", ylabel="nats per token", yscale="log")
        _legend(axes, theme)

    return Panel(
        "differences", "Synchronous: distance from the curve of one worker",
        "|loss − loss of one worker| of every step on the same rows. Sums in another order differ in the "
        "last bits, and AdamW lets the difference grow"
        + ("; the dashed line is what another seed changes in the dev loss." if spread else "."),
        draw, height=4.2,
    )  # fmt: skip


def _curves(runs: Sequence[Compared]) -> Panel:
    """Dev loss at equal samples."""

    def draw(axes: Axes, theme: Theme) -> None:
        for number, each in enumerate(runs):
            colour = theme.ink if not number else theme.lane((4, 5, 2, 3, 6, 7)[(number - 1) % 6])
            measured = [line for line in each.metrics if "dev_loss" in line]
            axes.plot(
                [line["rows"] for line in measured], [line["dev_loss"] for line in measured], "o-",
                color=colour, lw=1.4, markersize=4, label=each.run.label,
            )  # fmt: skip
        axes.set(xlabel="packed rows trained on", ylabel="dev loss, nats per token")
        _legend(axes, theme)

    return Panel(
        "samples", "Asynchronous against synchronous at equal samples",
        "Each worker computes a whole batch on weights that others have changed since: the price is read at "
        "the same number of rows.", draw, height=4.2,
    )  # fmt: skip


def _staleness(rows: Rows) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        width = 0.8 / len(rows)
        for number, row in enumerate(rows):
            counts = {int(k): n for k, n in row["staleness"]["histogram"].items()}
            total = sum(counts.values())
            places = np.array(list(counts)) + (number - (len(rows) - 1) / 2) * width
            label = f"{row['label']}: mean {row['staleness']['mean']:.2f}"
            colour = theme.lane((4, 5, 2, 3, 6, 7)[number % 6])
            axes.bar(places, [n / total for n in counts.values()], width, color=colour, label=label)
        axes.set(xlabel="updates by others between pull and push", ylabel="share of pushes")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(axes, theme)

    return Panel(
        "staleness", "Staleness of the pushes",
        "With N workers of equal speed it is about N − 1; a bound makes the fast ones wait.", draw,
        height=4.2,
    )  # fmt: skip


def _speed(rows: Rows, cores: int) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        values = [row["rows_per_second"] for row in rows]
        places = range(len(rows))
        axes.barh(places, values, 0.65, color=[theme.lane(COLOURS[row["strategy"]]) for row in rows])
        axes.set_yticks(places, [row["label"] for row in rows])
        for place, (value, row) in enumerate(zip(values, rows, strict=True)):
            axes.annotate(
                f"{value:.0f} (× {row['speed_up']:.2f})", (value, place), xytext=(4, 0), color=theme.ink,
                textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
        axes.axvline(values[0] * cores, color=theme.muted, lw=1, ls=":")
        axes.set(xlabel="packed rows per second", xlim=(0, 1.35 * max(*values, values[0] * cores)))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", labelsize=8)

    return Panel(
        "speed", "Speed, and as a multiple of one worker's",
        f"One thread a worker; dotted: {cores} cores times the first run. Training alone, without the start "
        "of Ray and of the workers, evaluation and checkpoints.",
        draw, height=max(3.5, 0.9 + _ROW_INCHES * len(rows)),
    )  # fmt: skip


def _bubbles(rows: Rows) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        series = (
            ("bubble_share", "measured", "o-", theme.lane(2)),
            ("bubble_imbalanced", "formula, stages as they are", "s--", theme.lane(3)),
            ("bubble_formula", "formula (p − 1) / (m + p − 1)", "^:", theme.muted),
        )
        names = [f"p = {row['workers']}\nm = {row['micro_batches']}" for row in rows]
        for key, label, style, colour in series:
            axes.plot(range(len(rows)), [row[key] for row in rows], style, color=colour, ms=5, label=label)
        axes.set_xticks(range(len(rows)), names)
        axes.set(ylabel="share of a step that a stage idles", ylim=(0, 1))
        _legend(axes, theme)

    return Panel(
        "bubbles", "Pipeline: what stages idle",
        "p stages, m micro-batches. The formula takes stages of equal work and free sending; the second line "
        "knows the seconds that each stage really computed.", draw, height=4.2,
    )  # fmt: skip


def _legend(axes: Axes, theme: Theme) -> None:
    axes.legend(fontsize=7.5, frameon=False, labelcolor=theme.ink)
