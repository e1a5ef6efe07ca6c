"""Confidence intervals and paired tests on additive sufficient statistics.

A corpus metric here is `combine(sum of per-input rows)`. A bootstrap resample (or a permutation that
swaps two systems on some inputs) is then one row of a matrix product, so a thousand of them cost
milliseconds and no text is scored twice.

Percentile bootstrap: Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 13.
Paired bootstrap for corpus metrics: Koehn (2004), Statistical Significance Tests for MT Evaluation.
Paired approximate randomization: Riezler and Maxwell (2005), On Some Pitfalls in Automatic Evaluation.
Delete-one jackknife: Efron and Stein (1981), The Jackknife Estimate of Variance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_WEIGHTS_PER_CHUNK = 4_000_000
"""Largest weight matrix held at once, in numbers (32 MB), so that big test sets need no big memory."""


@dataclass(frozen=True)
class Measure:
    """One metric over n inputs.

    rows: shape (n, k), one row of additive statistics per input.
    combine: sums of rows, shape (r, k), to r metric values.
    leave_one_out: shape (n,), only for metrics that are no function of sums; gives a jackknife interval.
    """

    key: str
    label: str
    unit: str
    description: str
    rows: FloatArray
    combine: Callable[[FloatArray], FloatArray]
    higher_is_better: bool | None = True
    leave_one_out: FloatArray | None = None

    @property
    def value(self) -> float:
        """The metric over all inputs."""
        return float(self.combine(self.rows.sum(axis=0, keepdims=True))[0])


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same inputs: the difference a - b, its interval and two p-values."""

    difference: float
    ci_low: float
    ci_high: float
    p_permutation: float
    p_bootstrap: float


def mean_of(sums: FloatArray) -> FloatArray:
    """`combine` for a mean (or ratio): first column over second."""
    return ratio(sums[:, 0], sums[:, 1])


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Elementwise numerator / denominator, 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def interval(
    measure: Measure, resamples: int, seed: int, confidence: float = 0.95
) -> tuple[float, float] | None:
    """The confidence interval of a measure, or None for fewer than two inputs or no resamples."""
    n = len(measure.rows)
    if n < 2 or resamples < 1:
        return None
    if measure.leave_one_out is not None:
        return _jackknife(measure.value, measure.leave_one_out, confidence)
    values = np.concatenate(
        [measure.combine(weights @ measure.rows) for weights in _resample_weights(n, resamples, seed)]
    )
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def compare(a: Measure, b: Measure, resamples: int, seed: int, confidence: float = 0.95) -> Comparison | None:
    """Paired comparison of two systems on the same inputs; None for metrics without additive statistics.

    p_permutation: two-sided, share of random swaps whose difference is at least as large as the one seen.
    p_bootstrap: two-sided, twice the smaller share of resamples on the other side of zero.
    Both count the sample itself, (k + 1) / (r + 1), so that no p-value is 0.
    """
    n = len(a.rows)
    if a.leave_one_out is not None or n < 2 or resamples < 1:
        return None
    seen = a.value - b.value
    boot = np.concatenate(
        [a.combine(w @ a.rows) - b.combine(w @ b.rows) for w in _resample_weights(n, resamples, seed)]
    )
    delta = b.rows - a.rows
    swapped = []
    for swaps in _swap_masks(n, resamples, seed):
        moved = swaps @ delta
        swapped.append(a.combine(a.rows.sum(axis=0) + moved) - b.combine(b.rows.sum(axis=0) - moved))
    # A hair of slack: equal differences must count as equal after floating-point sums.
    as_large = int((np.abs(np.concatenate(swapped)) >= abs(seen) - 1e-9).sum())
    other_side = min(int((boot <= 0).sum()), int((boot >= 0).sum()))
    low, high = np.quantile(boot, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Comparison(
        difference=seen,
        ci_low=float(low),
        ci_high=float(high),
        p_permutation=(as_large + 1) / (resamples + 1),
        p_bootstrap=min(1.0, 2 * (other_side + 1) / (resamples + 1)),
    )


def _resample_weights(n: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """How often each input is drawn: blocks of shape (r, n), each row summing to n."""
    rng = np.random.default_rng(seed)
    for size in _chunks(n, resamples):
        yield rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)


def _swap_masks(n: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    rng = np.random.default_rng([seed, 1])
    for size in _chunks(n, resamples):
        yield rng.integers(0, 2, size=(size, n)).astype(np.float64)


def _chunks(n: int, resamples: int) -> Iterator[int]:
    step = max(1, _WEIGHTS_PER_CHUNK // n)
    for start in range(0, resamples, step):
        yield min(step, resamples - start)


def _jackknife(value: float, leave_one_out: FloatArray, confidence: float) -> tuple[float, float]:
    from statistics import NormalDist

    n = len(leave_one_out)
    spread = float(np.sqrt((n - 1) / n * ((leave_one_out - leave_one_out.mean()) ** 2).sum()))
    half = NormalDist().inv_cdf((1 + confidence) / 2) * spread
    return value - half, value + half
