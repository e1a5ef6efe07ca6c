"""Percentiles with intervals, and shares with intervals; nothing here knows about servers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: two-sided 95 % intervals."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval; None where the sample is too small to bound that side."""

    low: float | None
    high: float | None


def percentile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (0 … 1) of sorted values, interpolated linearly (Hyndman and Fan's type 7).

    Raises ValueError for an empty sequence.
    """
    if not ordered:
        raise ValueError("no values")
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    low, high = ordered[below], ordered[above]
    return low + (high - low) * (position - below)


def percentile_interval(ordered: Sequence[float], q: float) -> Interval:
    """Distribution-free 95 % interval of the q-quantile, from order statistics.

    Ranks n·q ± 1.96·sqrt(n·q·(1−q)) (Conover, Practical Nonparametric Statistics, 3.2). It takes the values
    for independent; answers that queued together are not quite, so the true interval is wider.
    """
    n = len(ordered)
    spread = Z95 * math.sqrt(n * q * (1 - q))
    low_rank, high_rank = math.floor(n * q - spread), math.ceil(n * q + spread) + 1
    return Interval(
        ordered[low_rank - 1] if low_rank >= 1 else None, ordered[high_rank - 1] if high_rank <= n else None
    )


def wilson_interval(successes: int, n: int) -> Interval:
    """Wilson's 95 % interval of a share. Raises ValueError where successes are not within 0 … n."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n}")
    if n == 0:
        return Interval(None, None)
    share, z2 = successes / n, Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(0.0 if successes == 0 else low, 1.0 if successes == n else high)


def describe(values: Sequence[float]) -> dict[str, Any]:
    """n, mean, min, max, and p50, p95, p99 with their intervals (`<name>_ci95`); n alone when empty."""
    ordered = sorted(values)
    if not ordered:
        return {"n": 0}
    summary: dict[str, Any] = {"n": len(ordered), "mean": math.fsum(ordered) / len(ordered)}
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        interval = percentile_interval(ordered, q)
        summary[name] = percentile(ordered, q)
        summary[f"{name}_ci95"] = [interval.low, interval.high]
    return summary | {"min": ordered[0], "max": ordered[-1]}
