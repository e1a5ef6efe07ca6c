"""Percentiles, intervals and shares."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load.statistics import describe, percentile, percentile_interval, wilson_interval

pytestmark = pytest.mark.unit

VALUES = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=200)


@given(VALUES, st.floats(min_value=0, max_value=1))
def test_percentile_agrees_with_numpy(values: list[float], q: float) -> None:
    ordered = sorted(values)
    assert math.isclose(percentile(ordered, q), float(np.quantile(ordered, q)), rel_tol=1e-9, abs_tol=1e-9)


@given(VALUES)
def test_summary_is_ordered_and_inside_the_sample(values: list[float]) -> None:
    summary = describe(values)
    ladder = [summary[name] for name in ("min", "p50", "p95", "p99", "max")]
    assert ladder == sorted(ladder)
    assert summary["n"] == len(values)
    slack = 1e-9 * max(values)
    assert min(values) - slack <= summary["mean"] <= max(values) + slack


@given(VALUES, st.sampled_from([0.5, 0.95, 0.99]))
def test_interval_holds_the_percentile_it_bounds(values: list[float], q: float) -> None:
    ordered = sorted(values)
    interval = percentile_interval(ordered, q)
    assert interval.low is None or interval.low <= percentile(ordered, q)
    assert interval.high is None or interval.high >= percentile(ordered, q)


def test_small_samples_do_not_bound_a_high_percentile() -> None:
    assert percentile_interval(sorted(range(30)), 0.99).high is None


def test_percentile_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(11)
    truth = math.log(2)  # the median of the exponential distribution with rate 1
    hits = 0
    for _ in range(600):
        interval = percentile_interval(sorted(rng.expovariate(1) for _ in range(101)), 0.5)
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= truth <= interval.high
    assert 0.92 <= hits / 600 <= 0.99


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_interval_holds_the_share(good: int, bad: int) -> None:
    n = good + bad
    interval = wilson_interval(good, n)
    if n == 0:
        assert (interval.low, interval.high) == (None, None)
        return
    assert interval.low is not None
    assert interval.high is not None
    assert 0 <= interval.low <= good / n <= interval.high <= 1


def test_wilson_interval_of_a_known_case() -> None:
    interval = wilson_interval(8, 10)  # Newcombe 1998, method 3
    assert interval.low == pytest.approx(0.4902, abs=1e-4)
    assert interval.high == pytest.approx(0.9433, abs=1e-4)


def test_wilson_interval_refuses_an_impossible_count() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson_interval(3, 2)
