"""The figures that lanes are compared by, and who is best: overlapping intervals are a tie."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from tradeoffs.report.model import Ci95, Lane, ReportInput
from tradeoffs.report.prices import Prices, best_sustained, capacity_is_lower_bound, cost

SAME_WITHIN = 0.05
"""Figures without an interval are a tie when they differ by less than this share of the best."""

ROAD_NAMES = {"onprem": "on-prem", "local": "reference"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of one lane."""

    value: float
    n: int | None = None
    ci95: Ci95 = (None, None)
    at_least: bool = False
    """The ladder ended before the lane did: the true value is this or more."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """Something lanes are compared by."""

    key: str
    label: str
    unit: str
    """Unit of the values as they are shown; `scale` turns the measured value into it."""
    scale: float
    digits: int
    higher_is_better: bool | None
    """None: a description; lanes are not ranked by it."""
    figures: dict[str, Figure]
    """Lane key → figure; lanes without a valid measurement are left out."""

    @property
    def arrow(self) -> str:
        """The direction of better."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    def text(self, key: str) -> str:
        """The lane's value with its unit, for example `41.3 ms`; a dash where there is none."""
        figure = self.figures.get(key)
        if figure is None:
            return "–"
        return f"{'≥ ' if figure.at_least else ''}{self.number(figure.value)}{self._suffix}"

    def plain(self, key: str) -> str:
        """The lane's value without its unit, for a table whose row names it."""
        figure = self.figures.get(key)
        return "–" if figure is None else f"{'≥ ' if figure.at_least else ''}{self.number(figure.value)}"

    def number(self, value: float) -> str:
        """A value of this criterion without its unit."""
        return f"{value * self.scale:,.{self.digits}f}"

    def detail(self, key: str) -> str:
        """n and interval of the lane's value, where it is a sample."""
        figure = self.figures.get(key)
        if figure is None or figure.n is None:
            return ""
        low, high = ("…" if side is None else self.number(side) for side in figure.ci95)
        interval = f", 95 % interval {low} to {high}" if figure.ci95 != (None, None) else ""
        return f"n={figure.n}{interval}"

    def short_detail(self, key: str) -> str:
        """The same in brackets, for a table."""
        figure = self.figures.get(key)
        if figure is None or figure.n is None:
            return ""
        low, high = ("…" if side is None else self.number(side) for side in figure.ci95)
        interval = f"[{low}, {high}], " if figure.ci95 != (None, None) else ""
        return f"{interval}n={figure.n}"

    @property
    def _suffix(self) -> str:
        return "" if not self.unit else self.unit if self.unit == "%" else f" {self.unit}"


@dataclass(frozen=True, slots=True)
class Ranking:
    """Lanes by one criterion."""

    criterion: Criterion
    order: tuple[str, ...]
    """Lane keys, best first."""
    best: tuple[str, ...]
    """The first and those that cannot be told from it."""

    @property
    def is_tie(self) -> bool:
        """More than one lane is best."""
        return len(self.best) > 1


def lane_name(lane: Lane) -> str:
    """`edge int4`, `on-prem fp32`."""
    return f"{ROAD_NAMES.get(lane.road, lane.road)} {lane.format}"


def rank(criterion: Criterion) -> Ranking | None:
    """Order the lanes; None where none has a figure or neither direction is better."""
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


def criteria(report: ReportInput, prices: Prices) -> dict[str, Criterion]:
    """Every criterion by key. Load figures of a run that was not valid are left out."""
    made = [
        *(_latency(report, name, label, p) for name, label in LATENCIES for p in ("p50", "p95", "p99")),
        _make(report, "goodput", "goodput at the SLO load", "%", 100, 1, _goodput, higher=True),
        _make(
            report, "load_tokens", "throughput at the SLO load", "tokens/s", 1, 0, _load_tokens, higher=True
        ),
        _make(
            report, "capacity", "highest rate that kept the SLO", "requests/s", 1, 1, _capacity, higher=True
        ),
        _make(report, "tokens", "tokens/s at that rate", "tokens/s", 1, 0, _sustained_tokens, higher=True),
        _make(report, "memory", "server memory (RSS)", "MB", 1e-6, 0, _simple("memory_bytes")),
        _make(report, "artifact", "files of the format", "MB", 1e-6, 1, _simple("artifact_bytes")),
        _make(report, "cold_start", "cold start, until ready", "s", 1, 2, _cold_start),
        _make(
            report,
            "cost",
            "cost per million output tokens",
            prices.currency,
            1,
            3,
            lambda lane: _cost(lane, prices),
        ),
        _make(report, "upkeep", "upkeep", "h/month", 1, 2, lambda lane: _upkeep(lane, prices)),
        *_quality(report),
    ]
    return {criterion.key: criterion for criterion in made}


LATENCIES = (("ttft_intended", "TTFT"), ("tpot", "TPOT"), ("e2e_intended", "E2E"))


def _make(
    report: ReportInput, key: str, label: str, unit: str, scale: float, digits: int,
    figure: Callable[[Lane], Figure | None], *, higher: bool = False,
) -> Criterion:  # fmt: skip
    figures = {lane.key: made for lane in report.lanes if (made := figure(lane)) is not None}
    return Criterion(key, label, unit, scale, digits, higher, figures)


def _latency(report: ReportInput, name: str, label: str, percentile: str) -> Criterion:
    def figure(lane: Lane) -> Figure | None:
        if lane.load is None or not lane.load.valid or name not in lane.load.latencies:
            return None
        latency = lane.load.latencies[name]
        value = getattr(latency, percentile)
        return None if value is None else Figure(value, latency.n, getattr(latency, f"{percentile}_ci95"))

    return _make(report, f"{name}_{percentile}", f"{label} {percentile}", "ms", 1000, 1, figure)


def _quality(report: ReportInput) -> Iterable[Criterion]:
    kinds = {metric.key: metric for lane in report.lanes for metric in lane.quality}
    for kind in kinds.values():
        figures = {
            lane.key: Figure(metric.value, metric.n, metric.ci95)
            for lane in report.lanes
            for metric in lane.quality
            if metric.key == kind.key
        }
        yield Criterion(f"quality_{kind.key}", kind.label, kind.unit, 1, 2, kind.higher_is_better, figures)


def _goodput(lane: Lane) -> Figure | None:
    load = lane.load
    return Figure(load.goodput, load.offered, load.goodput_ci95) if load and load.valid else None


def _load_tokens(lane: Lane) -> Figure | None:
    return Figure(lane.load.output_tokens_per_second) if lane.load and lane.load.valid else None


def _capacity(lane: Lane) -> Figure | None:
    point = best_sustained(lane)
    return Figure(point.offered_rate, at_least=capacity_is_lower_bound(lane)) if point else None


def _sustained_tokens(lane: Lane) -> Figure | None:
    point = best_sustained(lane)
    return Figure(point.output_tokens_per_second, at_least=capacity_is_lower_bound(lane)) if point else None


def _cold_start(lane: Lane) -> Figure | None:
    starts = lane.cold_start_seconds
    return Figure(median(starts), len(starts)) if starts else None


def _simple(field: str) -> Callable[[Lane], Figure | None]:
    def figure(lane: Lane) -> Figure | None:
        value = getattr(lane, field)
        return None if value is None else Figure(float(value))

    return figure


def _cost(lane: Lane, prices: Prices) -> Figure | None:
    made = cost(lane, prices)
    return None if made is None else Figure(made.per_million)


def _upkeep(lane: Lane, prices: Prices) -> Figure | None:
    price = prices.roads.get(lane.road)
    return None if price is None else Figure(price.upkeep_hours)


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
