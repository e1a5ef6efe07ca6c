"""The plots of the page."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from common.pages.figures import Criterion, pareto_front
from common.pages.panels import Draw, Panel
from common.pages.scatter import axis_label, better_arrow, error_bar, label_points, make_room
from common.pages.theme import Theme
from tradeoffs.report.figures import lane_name
from tradeoffs.report.model import CurvePoint, ReportInput
from tradeoffs.report.theme import lane_colours

LATENCY_PANELS = (("ttft_intended", "First token (TTFT)"), ("e2e_intended", "Whole answer (E2E)"))


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
                    *at, xerr=error_bar(x, key), yerr=error_bar(y, key), fmt="o", ms=9, color=colour, lw=1.2,
                    mfc=colour if key in front else theme.paper, mew=2, zorder=3,
                )  # fmt: skip
            axes.set(xlabel=axis_label(x), ylabel=axis_label(y))
            make_room(axes, x, y, keys)
            points = [(x.figures[key].value * x.scale, y.figures[key].value * y.scale) for key in keys]
            label_points(axes, theme, points, [self.names[key] for key in keys])
            better_arrow(axes, theme, y)

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
                        value, place, xerr=error_bar(criterion, key), fmt="none", ecolor=theme.ink, lw=1
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


def _markers(
    axes: Axes, theme: Theme, points: Sequence[CurvePoint], values: Sequence[float], colour: str
) -> None:
    for point, value in zip(points, values, strict=True):
        hollow = theme.paper if point.saturated or not point.valid else colour
        axes.plot(point.offered_rate, value, "o", ms=6, color=colour, mfc=hollow, mew=1.6, zorder=3)


def _error_end(criterion: Criterion, key: str) -> float:
    high = criterion.figures[key].ci95[1]
    return 0.0 if high is None else high * criterion.scale


def _samples(criterion: Criterion) -> str:
    sizes = sorted({figure.n for figure in criterion.figures.values() if figure.n is not None})
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _short(criterion: Criterion) -> str:
    return "cost" if criterion.key == "cost" else criterion.label


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
