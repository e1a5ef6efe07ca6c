"""The plots: each panel is a function that draws on one axes, so that PNG and page show the same thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from tradeoffs.report.figures import Criterion, Figure, lane_name
from tradeoffs.report.model import CurvePoint, ReportInput
from tradeoffs.report.theme import Theme, lane_colours

LATENCY_PANELS = (("ttft_intended", "First token (TTFT)"), ("e2e_intended", "Whole answer (E2E)"))

PANEL_WIDTH = 4.5
"""Inches of 72 points: as wide as a phone, so that text keeps its size there."""

Draw = Callable[[Axes, Theme], None]


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot of the page."""

    name: str
    title: str
    caption: str
    draw: Draw
    height: float = 3.5
    """Inches."""


class Plots:
    """Builds the panels from the measurements and the criteria."""

    def __init__(self, report: ReportInput, criteria: dict[str, Criterion]) -> None:
        self.report = report
        self.criteria = criteria
        self.names = {lane.key: lane_name(lane) for lane in report.lanes}
        self.index = lane_colours([(lane.key, lane.road) for lane in report.lanes])

    def groups(self) -> dict[str, list[Panel]]:
        """Panels by the name of their PNG file; groups without data are left out."""
        groups = {
            "latency-throughput": self._curves(),
            "pareto": self._pareto(),
            "latency": [self._latency(name, label) for name, label in LATENCY_PANELS],
            "footprint": [self._bars(key) for key in ("memory", "cold_start", "artifact")],
        }
        kept = {name: [panel for panel in panels if panel is not None] for name, panels in groups.items()}
        return {name: panels for name, panels in kept.items() if panels}

    def _curves(self) -> list[Panel | None]:
        if not any(lane.curve for lane in self.report.lanes):
            return []
        return [
            Panel(
                f"curve-{field}", title,
                "p95 (solid) and median (thin) against the offered rate; a hollow point is beyond what the "
                "server sustained. From the scheduled start, so queueing counts.",
                self._curve_drawer(field), height=3.5,
            )
            for field, title in LATENCY_PANELS
        ]  # fmt: skip

    def _curve_drawer(self, field: str) -> Draw:
        def draw(axes: Axes, theme: Theme) -> None:
            for lane in self.report.lanes:
                colour = theme.lane(self.index[lane.key])
                points = [p for p in lane.curve if getattr(p, f"{field}_p95") is not None]
                rates = [p.offered_rate for p in points]
                tail = [getattr(p, f"{field}_p95") * 1000 for p in points]
                axes.plot(
                    rates,
                    [getattr(p, f"{field}_p50") * 1000 for p in points],
                    color=colour,
                    lw=0.8,
                    alpha=0.7,
                )
                axes.plot(rates, tail, color=colour, lw=2, label=self.names[lane.key])
                _markers(axes, theme, points, tail, colour)
            axes.set(xscale="log", yscale="log", xlabel="offered requests/s", ylabel="ms")
            _plain_log(axes)
            _legend(axes, theme)

        return draw

    def _pareto(self) -> list[Panel | None]:
        quality = self.criteria.get(f"quality_{self.report.primary_metric}")
        cost, latency = self.criteria["cost"], self.criteria["e2e_intended_p95"]
        pairs = [(cost, quality), (latency, quality), (cost, latency)]
        return [self._scatter(x, y) for x, y in pairs if y is not None]

    def _scatter(self, x: Criterion, y: Criterion) -> Panel | None:
        keys = [lane.key for lane in self.report.lanes if lane.key in x.figures and lane.key in y.figures]
        if not keys:
            return None
        front = pareto_front(x, y, keys)

        def draw(axes: Axes, theme: Theme) -> None:
            for key in keys:
                colour = theme.lane(self.index[key])
                at = (x.figures[key].value * x.scale, y.figures[key].value * y.scale)
                axes.errorbar(
                    *at, xerr=_error(x, key), yerr=_error(y, key), fmt="o", ms=9, color=colour, lw=1.2,
                    mfc=colour if key in front else theme.paper, mew=2, zorder=3,
                )  # fmt: skip
            axes.set(xlabel=_axis_label(x), ylabel=_axis_label(y))
            _room(axes, x, y, keys)
            points = [(x.figures[key].value * x.scale, y.figures[key].value * y.scale) for key in keys]
            label_points(axes, theme, points, [self.names[key] for key in keys])
            _better_arrow(axes, theme, y)

        caption = "Filled: no other lane is better in both (Pareto front). Bars: 95 % intervals."
        return Panel(
            f"pareto-{x.key}-{y.key}",
            f"{_short(y)} against {_short(x)}",
            caption,
            draw,
            height=3.5,
        )

    def _latency(self, name: str, label: str) -> Panel | None:
        rows = [self.criteria[f"{name}_{percentile}"] for percentile in ("p50", "p95", "p99")]
        keys = [lane.key for lane in self.report.lanes if lane.key in rows[0].figures]
        if not keys:
            return None

        def draw(axes: Axes, theme: Theme) -> None:
            height = 0.26
            for offset, (criterion, opacity) in enumerate(zip(rows, (1.0, 0.65, 0.35), strict=True)):
                for number, key in enumerate(keys):
                    value = criterion.figures[key].value * criterion.scale
                    place = number + (offset - 1) * height
                    axes.barh(place, value, height * 0.9, color=theme.lane(self.index[key]), alpha=opacity)
                    axes.errorbar(
                        value, place, xerr=_error(criterion, key), fmt="none", ecolor=theme.ink, lw=1
                    )
                    percentile = criterion.key.rsplit("_", 1)[1]
                    end = max(value, _error_end(criterion, key))
                    axes.annotate(
                        f"{percentile} {criterion.text(key)}", (end, place),
                        xytext=(4, 0), textcoords="offset points", va="center", color=theme.ink, fontsize=8,
                    )  # fmt: skip
            _rows(axes, [self.names[key] for key in keys], "ms, from the scheduled start")

        caption = f"n = {_samples(rows[0])} per lane; whiskers: 95 % intervals, where the sample bounds them."
        height = 0.7 + 0.7 * len(keys)
        return Panel(f"latency-{name}", f"{label} at the SLO load", caption, draw, height=height)

    def _bars(self, key: str) -> Panel | None:
        criterion = self.criteria[key]
        keys = [lane.key for lane in self.report.lanes if lane.key in criterion.figures]
        if not keys:
            return None

        def draw(axes: Axes, theme: Theme) -> None:
            for number, lane in enumerate(keys):
                value = criterion.figures[lane].value * criterion.scale
                axes.barh(number, value, 0.6, color=theme.lane(self.index[lane]))
                axes.annotate(
                    criterion.text(lane), (value, number), xytext=(4, 0), textcoords="offset points",
                    va="center", color=theme.ink, fontsize=9,
                )  # fmt: skip
            _rows(axes, [self.names[lane] for lane in keys], criterion.unit)

        title = criterion.label[0].upper() + criterion.label[1:]
        return Panel(key, title, "Lower is better.", draw, height=0.75 + 0.4 * len(keys))


def pareto_front(x: Criterion, y: Criterion, keys: Sequence[str]) -> set[str]:
    """Lanes that no other lane beats in both criteria (as good in one and better in the other counts)."""

    def goods(key: str) -> tuple[float, float]:
        sign = (1 if x.higher_is_better else -1, 1 if y.higher_is_better else -1)
        return sign[0] * x.figures[key].value, sign[1] * y.figures[key].value

    def beaten(key: str) -> bool:
        mine = goods(key)
        return any(
            all(a >= b for a, b in zip(goods(other), mine, strict=True)) and goods(other) != mine
            for other in keys
        )

    return {key for key in keys if not beaten(key)}


def _markers(
    axes: Axes, theme: Theme, points: Sequence[CurvePoint], values: Sequence[float], colour: str
) -> None:
    for point, value in zip(points, values, strict=True):
        hollow = theme.paper if point.saturated or not point.valid else colour
        axes.plot(point.offered_rate, value, "o", ms=6, color=colour, mfc=hollow, mew=1.6, zorder=3)


def _error(criterion: Criterion, key: str) -> Any:
    """Distances to the interval's ends, as errorbar wants them; None where there is no interval."""
    figure = criterion.figures[key]
    if figure.ci95 == (None, None):
        return None
    low, high = figure.ci95
    below = 0.0 if low is None else max(0.0, figure.value - low)
    above = 0.0 if high is None else max(0.0, high - figure.value)
    return [[below * criterion.scale], [above * criterion.scale]]


def _error_end(criterion: Criterion, key: str) -> float:
    high = criterion.figures[key].ci95[1]
    return 0.0 if high is None else high * criterion.scale


def _samples(criterion: Criterion) -> str:
    sizes = sorted({figure.n for figure in criterion.figures.values() if figure.n is not None})
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _axis_label(criterion: Criterion) -> str:
    unit = f" ({criterion.unit})" if criterion.unit else ""
    return f"{criterion.label}{unit}"


def _short(criterion: Criterion) -> str:
    return "cost" if criterion.key == "cost" else criterion.label


def _room(axes: Axes, x: Criterion, y: Criterion, keys: Sequence[str]) -> None:
    """Space around the points: labels stand to the right of and above them."""
    for criterion, setter, after in ((x, axes.set_xlim, 0.55), (y, axes.set_ylim, 0.3)):
        ends = [_ends(criterion.figures[key], criterion.scale) for key in keys]
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        span = (high - low) or abs(high) or 1.0
        setter(low - 0.25 * span, high + after * span)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _ends(figure: Figure, scale: float) -> tuple[float, float]:
    low, high = figure.ci95
    return (figure.value if low is None else low) * scale, (figure.value if high is None else high) * scale


LABEL_PLACES = ((10, 7), (10, -15), (-10, 7), (-10, -15), (10, 20), (10, -28), (-10, 20), (-10, -28))
"""Where a point's label may stand, in points from it; the first place that is free is taken."""


def label_points(
    axes: Axes, theme: Theme, points: Sequence[tuple[float, float]], names: Sequence[str]
) -> None:
    """Name the points so that names do not lie over each other or over another point."""
    pixels = [axes.transData.transform(point) for point in points]
    scale = axes.figure.dpi / 72
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in pixels]
    for (x, y), point, name in zip(pixels, points, names, strict=True):
        width, height = 5.6 * len(name) * scale, 10 * scale
        boxes = []
        for right, up in LABEL_PLACES:
            left = x + right * scale - (width if right < 0 else 0)
            boxes.append(((right, up), (left, y + up * scale, left + width, y + up * scale + height)))
        place, box = next((made for made in boxes if not any(_overlap(made[1], t) for t in taken)), boxes[0])
        taken.append(box)
        axes.annotate(
            name, point, xytext=place, textcoords="offset points", color=theme.ink, fontsize=9,
            ha="right" if place[0] < 0 else "left",
            bbox={"facecolor": theme.paper, "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
        )  # fmt: skip


Box = tuple[float, float, float, float]


def _overlap(first: Box, second: Box) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _better_arrow(axes: Axes, theme: Theme, y: Criterion) -> None:
    """x is a cost or a time: better is always left; up or down as y says."""
    tip, tail = ((0.03, 0.97), (0.13, 0.85)) if y.higher_is_better else ((0.03, 0.03), (0.13, 0.15))
    axes.annotate(
        "", xy=tip, xytext=tail, xycoords="axes fraction",
        arrowprops={"arrowstyle": "-|>", "color": theme.muted, "lw": 1.6},
    )  # fmt: skip
    axes.annotate("better", tail, xycoords="axes fraction", xytext=(4, 0), textcoords="offset points",
                  color=theme.muted, fontsize=9, va="center")  # fmt: skip


def _rows(axes: Axes, names: Sequence[str], unit: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlim(0, axes.get_xlim()[1] * 1.3)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=False, axis="y")


def _plain_log(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())


def _legend(axes: Axes, theme: Theme) -> None:
    axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9, loc="upper left", handlelength=1.4)
