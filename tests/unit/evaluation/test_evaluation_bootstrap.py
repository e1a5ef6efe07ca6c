"""Intervals and paired tests on sufficient statistics: known cases, coverage, and determinism."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.bootstrap import Measure, compare, interval, mean_of
from evaluation.metrics.diversity import distinct

pytestmark = pytest.mark.unit


def mean_measure(values: np.ndarray) -> Measure:
    return Measure("m", "m", "", "", np.column_stack([values, np.ones(len(values))]), mean_of)


def test_interval_of_a_mean_is_that_of_the_normal_theory() -> None:
    values = np.random.default_rng(3).normal(10, 2, size=400)
    low, high = interval(mean_measure(values), resamples=4000, seed=1) or (0, 0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    inside = 0
    for trial in range(200):
        low, high = interval(mean_measure(rng.exponential(1.0, size=80)), resamples=300, seed=trial) or (0, 0)
        inside += low <= 1.0 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_same_seed_same_interval_other_seed_another() -> None:
    measure = mean_measure(np.random.default_rng(1).random(50))
    assert interval(measure, 200, seed=5) == interval(measure, 200, seed=5)
    assert interval(measure, 200, seed=5) != interval(measure, 200, seed=6)


def test_one_input_has_no_interval() -> None:
    assert interval(mean_measure(np.array([1.0])), 100, seed=1) is None


def test_a_system_compared_with_itself_shows_no_difference() -> None:
    measure = mean_measure(np.random.default_rng(1).random(100))
    found = compare(measure, measure, 500, seed=1)
    assert found is not None
    assert (found.difference, found.p_permutation, found.p_bootstrap) == (0.0, 1.0, 1.0)


def test_a_clear_difference_is_significant_and_noise_is_not() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(0, 1, size=300)
    better = compare(mean_measure(base + 0.5 + rng.normal(0, 0.1, 300)), mean_measure(base), 1000, seed=1)
    noise = compare(mean_measure(base + rng.normal(0, 1, 300)), mean_measure(base), 1000, seed=1)
    assert better is not None
    assert noise is not None
    assert better.p_permutation == pytest.approx(1 / 1001)
    assert 0.45 < better.ci_low < better.ci_high < 0.55
    assert noise.p_permutation > 0.05


def test_permutation_p_value_is_exact_on_a_small_case() -> None:
    """Four pairs that all differ by 1 in one direction: 2 of 16 sign patterns are as extreme, p = 1/8."""
    a, b = mean_measure(np.full(4, 2.0)), mean_measure(np.full(4, 1.0))
    found = compare(a, b, 20_000, seed=1)
    assert found is not None
    assert found.p_permutation == pytest.approx(0.125, abs=0.01)


def test_distinct_leaves_one_out_as_if_it_were_counted_again() -> None:
    texts = ["the mill is cheap", "the mill is good", "a pub by the river", "the mill"]
    for order in (1, 2):
        measure = distinct(texts, order)
        assert measure.leave_one_out is not None
        for i in range(len(texts)):
            again = distinct(texts[:i] + texts[i + 1 :], order).value
            assert measure.leave_one_out[i] == pytest.approx(again)
