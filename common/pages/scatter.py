"""One criterion against another: points with intervals, and names that do not collide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from common.pages.figures import Criterion, Figure
from common.pages.theme import Theme


def error_bar(criterion: Criterion, key: str) -> Any:
    """Distances to the interval's ends, as errorbar wants them; None where there is no interval."""
    figure = criterion.figures[key]
    if figure.ci95 == (None, None):
        return None
    low, high = figure.ci95
    below = 0.0 if low is None else max(0.0, figure.value - low)
    above = 0.0 if high is None else max(0.0, high - figure.value)
    return [[below * criterion.scale], [above * criterion.scale]]


def axis_label(criterion: Criterion) -> str:
    """Name and unit."""
    unit = f" ({criterion.unit})" if criterion.unit else ""
    return f"{criterion.label}{unit}"


def make_room(axes: Axes, x: Criterion, y: Criterion, keys: Sequence[str]) -> None:
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


def better_arrow(axes: Axes, theme: Theme, y: Criterion) -> None:
    """x is a cost or a time: better is always left; up or down as y says."""
    tip, tail = ((0.03, 0.97), (0.13, 0.85)) if y.higher_is_better else ((0.03, 0.03), (0.13, 0.15))
    axes.annotate(
        "", xy=tip, xytext=tail, xycoords="axes fraction",
        arrowprops={"arrowstyle": "-|>", "color": theme.muted, "lw": 1.6},
    )  # fmt: skip
    axes.annotate("better", tail, xycoords="axes fraction", xytext=(4, 0), textcoords="offset points",
                  color=theme.muted, fontsize=9, va="center")  # fmt: skip
