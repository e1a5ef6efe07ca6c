"""The capacity ladder: rising rates, each its own run, until the server is saturated."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.files import atomic_write
from tests.load.scenario import MAX_RATE, Scenario
from tests.load.session import Target, run_scenario

SATURATED_BELOW = 0.9
"""Complete answers per second below this share of the offered rate: the server does not keep up."""
QUEUE_GROWTH = 5.0
"""Median E2E above so many times the first point's, and the SLO missed: requests mostly wait."""

TIME_COLUMNS = {
    "ttft_intended_p50": ("TTFT p50", 10), "ttft_intended_p95": ("p95 ms", 9),
    "e2e_intended_p50": ("E2E p50", 10), "e2e_intended_p95": ("p95 ms", 9),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CurveBounds:
    """How far the ladder goes."""

    start: float
    factor: float
    seconds: float
    max_points: int
    max_seconds: float
    refine: int = 0


def run_curve(
    scenario: Scenario, folder: Path, target: Target, output: Path, bounds: CurveBounds
) -> dict[str, Any]:
    """Run the ladder; writes `output/curve.json` and each point's files under `output/point-<n>`.

    Ends at the first saturated or invalid point, or at a bound; `stopped` says which. Then `bounds.refine`
    rates halve the gap (as a ratio) between the highest that kept the SLO and the next.
    """
    ladder = _Ladder(scenario, folder, target, output, bounds)
    stopped = ladder.climb()
    ladder.halve_the_gap()
    points = sorted(ladder.points, key=lambda point: point["rate"])
    curve = {
        "schema": "trivium.load-curve/v1",
        "scenario": scenario.name,
        "target": {"url": target.url, "model": target.model, "road": target.road},
        "bounds": asdict(bounds),
        "points": points,
        "stopped": stopped,
        "capacity": max((p["offered_rate"] for p in points if _sustained(p)), default=None),
        "capacity_formula": "highest offered rate (requests/s) of a valid, unsaturated run that kept the SLO",
    }
    atomic_write(output / "curve.json", json.dumps(curve, indent=2) + "\n")
    return curve


class _Ladder:
    """The points measured so far, in the order of the runs."""

    def __init__(
        self, scenario: Scenario, folder: Path, target: Target, output: Path, bounds: CurveBounds
    ) -> None:
        self._scenario, self._folder, self._target = scenario, folder, target
        self._output, self._bounds = output, bounds
        self._started = time.monotonic()
        self.points: list[dict[str, Any]] = []

    def climb(self) -> str:
        """Rising rates until one is too many; returns why no higher one was run."""
        bounds = self._bounds
        for number in range(bounds.max_points):
            rate = bounds.start * bounds.factor**number
            if refusal := self._beyond_bounds(rate):
                return refusal
            reasons = self._measure(rate)
            if self.points[-1]["saturated"]:
                return str(self.points[-1]["saturated"])
            if reasons:
                return "; ".join(reasons)
        return f"{bounds.max_points} rates were run"

    def halve_the_gap(self) -> None:
        """Rates between the highest that was sustained and the lowest above it that was not."""
        for _ in range(self._bounds.refine):
            low = max((p["rate"] for p in self.points if _sustained(p)), default=None)
            high = min((p["rate"] for p in self.points if low and p["rate"] > low), default=None)
            if low is None or high is None or self._beyond_bounds(rate := math.sqrt(low * high)):
                return
            self._measure(rate)

    def _measure(self, rate: float) -> list[str]:
        """Run one rate; returns why the run is not valid."""
        bounds = self._bounds
        print(f"{rate:g} requests/s for {bounds.seconds:g} s", file=sys.stderr)
        rung = self._scenario.with_rate(rate, bounds.seconds)
        output = self._output / f"point-{len(self.points) + 1}"
        result = run_scenario(rung, self._folder, self._target, output)
        self.points.append(_point(rate, result, self.points[0] if self.points else None))
        return [] if result["verdict"]["valid"] else list(result["verdict"]["reasons"])

    def _beyond_bounds(self, rate: float) -> str | None:
        bounds, scenario = self._bounds, self._scenario
        if rate > MAX_RATE or rate * (bounds.seconds + scenario.warmup_seconds) > scenario.max_requests:
            return f"{rate:g} requests/s is beyond max_requests or {MAX_RATE:g}/s"
        if time.monotonic() - self._started > bounds.max_seconds:
            return f"{bounds.max_seconds:g} s were used"
        return None


def _point(rate: float, result: dict[str, Any], first: dict[str, Any] | None) -> dict[str, Any]:
    metrics, verdict = result["metrics"], result["verdict"]
    point = {
        "rate": rate,
        "offered_rate": result["offered_rate"],
        "achieved_rate": result["throughput"]["requests_per_second"],
        "output_tokens_per_second": result["throughput"]["output_tokens_per_second"],
        "n": result["offered"],
        "goodput": result["goodput"]["share"],
        "goodput_ci95": result["goodput"]["ci95"],
        "valid": verdict["valid"],
        "slo_attained": verdict["valid"] and verdict["slo_attained"],
        **{
            f"{name}_{percentile}": metrics[name].get(percentile)
            for name in ("ttft_intended", "tpot", "e2e_intended")
            for percentile in ("p50", "p95")
        },
    }
    return point | {"saturated": _saturation(point, first)}


def _sustained(point: dict[str, Any]) -> bool:
    return bool(point["slo_attained"]) and point["saturated"] is None


def _saturation(point: dict[str, Any], first: dict[str, Any] | None) -> str | None:
    """Why this point is beyond the server's capacity; None where it is not."""
    if point["achieved_rate"] < SATURATED_BELOW * point["offered_rate"]:
        return f"the server completed {point['achieved_rate']:.2f} of {point['offered_rate']:.2f} requests/s"
    if first and not point["slo_attained"] and point["e2e_intended_p50"] and first["e2e_intended_p50"]:
        growth = point["e2e_intended_p50"] / first["e2e_intended_p50"]
        if growth > QUEUE_GROWTH:
            return f"the median E2E is {growth:.1f} times the first rate's: requests queue"
    return None


def curve_table(curve: dict[str, Any]) -> str:
    """The curve as text."""
    head = (("offered/s", 10), ("done/s", 9), ("tokens/s", 10), *TIME_COLUMNS.values(), ("goodput", 9))
    lines = ["".join(f"{name:>{width}}" for name, width in head) + "  n"]
    for point in curve["points"]:
        times = "".join(
            f"{'–' if (value := point[key]) is None else format(value * 1000, '.1f'):>{width}}"
            for key, (_, width) in TIME_COLUMNS.items()
        )
        lines.append(
            f"{point['offered_rate']:>10.2f}{point['achieved_rate']:>9.2f}"
            f"{point['output_tokens_per_second']:>10.0f}{times}{point['goodput']:>9.1%}  {point['n']}"
            f"{'' if point['valid'] else '  not valid'}"
        )
    capacity = "none of these rates" if curve["capacity"] is None else f"{curve['capacity']:.2f} requests/s"
    return "\n".join(
        [*lines, f"stopped     {curve['stopped']}", f"capacity    {capacity} ({curve['capacity_formula']})"]
    )
