"""Figures that things are compared by, and who is best: overlapping intervals are a tie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Ci95 = tuple[float | None, float | None]
"""A 95 % confidence interval; a side is null where the sample is too small to bound it."""

SAME_WITHIN = 0.05
"""Figures without an interval are a tie when they differ by less than this share of the best."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of one thing that is compared."""

    value: float
    n: int | None = None
    ci95: Ci95 = (None, None)
    at_least: bool = False
    """The measurement ended before the limit was found: the true value is this or more."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """Something that things are compared by."""

    key: str
    label: str
    unit: str
    """Unit of the values as they are shown; `scale` turns the measured value into it."""
    scale: float
    digits: int
    higher_is_better: bool | None
    """None: a description; nothing is ranked by it."""
    figures: dict[str, Figure]
    """Key of the thing → figure; things without a valid measurement are left out."""

    @property
    def arrow(self) -> str:
        """The direction of better."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    def text(self, key: str) -> str:
        """The value with its unit, for example `41.3 ms`; a dash where there is none."""
        figure = self.figures.get(key)
        if figure is None:
            return "–"
        return f"{'≥ ' if figure.at_least else ''}{self.number(figure.value)}{self._suffix}"

    def plain(self, key: str) -> str:
        """The value without its unit, for a table whose row names it."""
        figure = self.figures.get(key)
        return "–" if figure is None else f"{'≥ ' if figure.at_least else ''}{self.number(figure.value)}"

    def number(self, value: float) -> str:
        """A value of this criterion without its unit."""
        return f"{value * self.scale:,.{self.digits}f}"

    def detail(self, key: str) -> str:
        """n and interval of the value, where it is a sample."""
        interval, n = self._sample(key)
        return f"{n}, 95 % interval {' to '.join(interval)}" if interval else n

    def short_detail(self, key: str) -> str:
        """The same in brackets, for a table."""
        interval, n = self._sample(key)
        return f"[{', '.join(interval)}], {n}" if interval else n

    def _sample(self, key: str) -> tuple[list[str], str]:
        figure = self.figures.get(key)
        if figure is None or figure.n is None:
            return [], ""
        known = figure.ci95 != (None, None)
        sides = ["…" if side is None else self.number(side) for side in figure.ci95] if known else []
        return sides, f"n={figure.n}"

    @property
    def _suffix(self) -> str:
        return "" if not self.unit else self.unit if self.unit == "%" else f" {self.unit}"


@dataclass(frozen=True, slots=True)
class Ranking:
    """Things by one criterion."""

    criterion: Criterion
    order: tuple[str, ...]
    """Keys, best first."""
    best: tuple[str, ...]
    """The first and those that cannot be told from it."""

    @property
    def is_tie(self) -> bool:
        """More than one is best."""
        return len(self.best) > 1


def rank(criterion: Criterion) -> Ranking | None:
    """Order the things; None where none has a figure or neither direction is better."""
    if not criterion.figures or criterion.higher_is_better is None:
        return None
    figures = criterion.figures
    order = sorted(figures, key=lambda key: figures[key].value, reverse=criterion.higher_is_better)
    best = tuple(key for key in order if same(figures[order[0]], figures[key]))
    return Ranking(criterion, tuple(order), best)


def same(first: Figure, second: Figure) -> bool:
    """Whether two figures cannot be told apart: intervals overlap, or, without any, they differ by < 5 %."""
    sides = (*first.ci95, *second.ci95)
    if all(side is None for side in sides):
        scale = max(abs(first.value), abs(second.value))
        return abs(first.value - second.value) <= SAME_WITHIN * scale
    return _low(first) <= _high(second) and _low(second) <= _high(first)


def _low(figure: Figure) -> float:
    return (
        figure.value
        if figure.ci95 == (None, None)
        else -float("inf")
        if figure.ci95[0] is None
        else figure.ci95[0]
    )


def _high(figure: Figure) -> float:
    return (
        figure.value
        if figure.ci95 == (None, None)
        else float("inf")
        if figure.ci95[1] is None
        else figure.ci95[1]
    )


def pareto_front(x: Criterion, y: Criterion, keys: Sequence[str]) -> set[str]:
    """Things that no other one beats in both criteria (as good in one and better in the other counts)."""

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
