"""The plots of the comparison."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from common.pages.figures import Criterion, pareto_front
from common.pages.panels import Panel, log_ticks
from common.pages.scatter import axis_label, better_arrow, error_bar, label_points
from common.pages.theme import Theme
from training.curriculum.aggregate import FAMILIES, Row

COLOURS = dict(zip(FAMILIES, (1, 0, 2, 4, 6, 5), strict=True))
"""Family → index into `Theme.lanes`."""
WIDE = 8.6
"""Inches: some twenty named points need room."""
_MARGIN = 0.15


class Plots:
    """Builds the panels from rows and criteria."""

    def __init__(self, rows: Sequence[Row], criteria: dict[str, Criterion]) -> None:
        self.rows = {row.key: row for row in rows}
        self.criteria = criteria

    def groups(self) -> dict[str, list[Panel]]:
        """Panels by the name of their PNG file; groups without data are left out."""
        bleu = self.criteria["bleu"]
        groups = {
            "pareto-time": [self._scatter(self.criteria["whole"], bleu)],
            "pareto-parameters": [self._scatter(self.criteria["trainable"], bleu)],
            "pareto-serving": [self._scatter(self.criteria["serving_cost"], bleu, best_of_equals=True)],
            "quality": [self._intervals(self.criteria[key]) for key in ("bleu", "ser")],
            "effort": [self._bars(self.criteria[key]) for key in ("whole", "memory", "artifact")],
            "win-rate": [self._intervals(self.criteria["win_rate"], line=50.0)],
        }
        kept = {name: [panel for panel in panels if panel] for name, panels in groups.items()}
        return {name: panels for name, panels in kept.items() if panels}

    def _colour(self, theme: Theme, key: str) -> str:
        return theme.lane(COLOURS[self.rows[key].family])

    def _scatter(self, x: Criterion, y: Criterion, *, best_of_equals: bool = False) -> Panel | None:
        """`best_of_equals`: of techniques at one x, which are served by the same work, show the best in y."""
        # What trains nothing has no place on a logarithmic axis.
        shown = [key for key, figure in x.figures.items() if figure.value > 0]
        keys = [key for key in self.rows if key in shown and key in y.figures]
        if not keys:
            return None
        hidden = _behind_the_best(x, y, keys) if best_of_equals else {}
        keys = [key for key in keys if not any(key in behind for behind in hidden.values())]
        front = pareto_front(x, y, keys)
        floor = _floor([y.figures[key].value for key in keys])

        def draw(axes: Axes, theme: Theme) -> None:
            points = []
            for key in keys:
                value, colour = y.figures[key].value, self._colour(theme, key)
                at = (max(x.figures[key].value * x.scale, 1e-9), max(value, floor))
                points.append(at)
                fill = colour if key in front else theme.paper
                if value < floor:
                    axes.plot(*at, "v", ms=8, color=colour, mfc=fill, mew=1.8, zorder=3)
                else:
                    axes.errorbar(
                        *at, yerr=error_bar(y, key), fmt="o", ms=7, lw=1.1, color=colour, mfc=fill, mew=1.8,
                        zorder=3,
                    )  # fmt: skip
            axes.set(xlabel=axis_label(x), ylabel=axis_label(y), xscale="log")
            axes.margins(x=0.12)
            log_ticks(axes.xaxis)
            tops = [y.figures[key].ci95[1] or y.figures[key].value for key in keys]
            bottoms = [max(floor, y.figures[key].ci95[0] or y.figures[key].value) for key in keys]
            span = (max(tops) - min(bottoms)) or 1.0
            axes.set_ylim(min(bottoms) - _MARGIN * span, max(tops) + _MARGIN * span)
            names = [self._point_name(key, y, floor) for key in keys]
            label_points(axes, theme, points, names)
            better_arrow(axes, theme, y)

        low = [key for key in keys if y.figures[key].value < floor]
        caption = "Filled: no other technique is better in both (Pareto front). Bars: 95 % intervals."
        if low:
            caption += " Triangles lie below the axis, at the value beside the name."
        for key, behind in hidden.items():
            caption += f" At the cost of {key}, and no better: {', '.join(behind)}."
        return Panel(f"pareto-{x.key}", f"{y.label} against {x.label}", caption, draw, height=4.6, width=WIDE)

    def _point_name(self, key: str, y: Criterion, floor: float) -> str:
        return key if y.figures[key].value >= floor else f"{key} ({y.number(y.figures[key].value)})"

    def _intervals(self, criterion: Criterion, line: float | None = None) -> Panel | None:
        keys = [key for key in self.rows if key in criterion.figures]
        if not keys:
            return None

        def draw(axes: Axes, theme: Theme) -> None:
            for number, key in enumerate(keys):
                bar, value = error_bar(criterion, key), criterion.figures[key].value * criterion.scale
                colour = self._colour(theme, key)
                axes.errorbar(value, number, xerr=bar, fmt="o", ms=6, color=colour, lw=1.8)
            if line is not None:
                axes.axvline(line, color=theme.muted, lw=1, ls="--")
            _name_rows(axes, keys, axis_label(criterion))

        sizes = sorted({figure.n for figure in criterion.figures.values() if figure.n})
        n = f" n = {sizes[0] if len(sizes) == 1 else f'{sizes[0]} to {sizes[-1]}'} inputs." if sizes else ""
        better = "Higher" if criterion.higher_is_better else "Lower"
        caption = f"{better} is better. Bars: 95 % intervals.{n}"
        return Panel(criterion.key, _title(criterion), caption, draw, height=0.9 + 0.24 * len(keys))

    def _bars(self, criterion: Criterion) -> Panel | None:
        keys = [key for key in self.rows if key in criterion.figures]
        if not keys:
            return None

        def draw(axes: Axes, theme: Theme) -> None:
            for number, key in enumerate(keys):
                value = criterion.figures[key].value * criterion.scale
                axes.barh(number, value, 0.62, color=self._colour(theme, key))
                axes.annotate(
                    criterion.plain(key), (value, number), xytext=(4, 0), textcoords="offset points",
                    va="center", color=theme.ink, fontsize=8.5,
                )  # fmt: skip
            axes.set_xlim(0, axes.get_xlim()[1] * 1.2)
            _name_rows(axes, keys, axis_label(criterion))

        return Panel(criterion.key, _title(criterion), "Lower is better.", draw, self._bar_draw_height(keys))

    @staticmethod
    def _bar_draw_height(keys: Sequence[str]) -> float:
        return 0.9 + 0.24 * len(keys)


def _behind_the_best(x: Criterion, y: Criterion, keys: Sequence[str]) -> dict[str, list[str]]:
    """Of keys whose x differs by less than a hundredth: the best in y → the others, if any."""
    order = sorted(keys, key=lambda key: x.figures[key].value)
    groups: list[list[str]] = []
    for key in order:
        if groups and x.figures[key].value < 1.01 * x.figures[groups[-1][0]].value:
            groups[-1].append(key)
        else:
            groups.append([key])
    sign = 1 if y.higher_is_better else -1
    ranked = [sorted(group, key=lambda key: -sign * y.figures[key].value) for group in groups]
    return {best: others for best, *others in ranked if others}


def _floor(values: Sequence[float]) -> float:
    """Where the axis begins: what lies far below the better half would press the rest together."""
    order = sorted(values)
    best, middle = order[-1], order[len(order) // 2]
    return max(order[0], best - max(3 * (best - middle), 0.15 * abs(best)))


def _title(criterion: Criterion) -> str:
    return criterion.label[0].upper() + criterion.label[1:]


def _name_rows(axes: Axes, keys: Sequence[str], unit: str) -> None:
    axes.set_yticks(range(len(keys)), keys)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(visible=False, axis="y")
