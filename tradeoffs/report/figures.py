"""The figures that lanes are compared by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from common.pages.figures import Criterion, Figure
from tradeoffs.report.model import Lane, ReportInput
from tradeoffs.report.prices import Prices, best_sustained, capacity_is_lower_bound, cost

ROAD_NAMES = {"onprem": "on-prem", "local": "reference"}


def lane_name(lane: Lane) -> str:
    """`edge int4`, `on-prem fp32`."""
    return f"{ROAD_NAMES.get(lane.road, lane.road)} {lane.format}"


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
