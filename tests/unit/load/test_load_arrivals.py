"""Schedules: rates, randomness, warm-up, bounds."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load.arrivals import burst_times, constant_times, poisson_times, schedule
from tests.load.errors import LoadError
from tests.load.scenario import Burst, Stage, Steady

pytestmark = pytest.mark.unit


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert list(constant_times(4, 1)) == [0, 0.25, 0.5, 0.75]


def test_poisson_gaps_are_exponential_and_the_count_is_not_forced() -> None:
    counts = []
    for seed in range(200):
        times = list(poisson_times(5, 20, random.Random(seed)))
        counts.append(len(times))
        assert times == sorted(times)
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert mean == pytest.approx(100, abs=4 * math.sqrt(100 / 200))
    assert 0.6 < variance / mean < 1.5, "a Poisson count has its mean as variance"


def test_bursts_come_together() -> None:
    assert Counter(burst_times(3, 2, 7)) == {2: 3, 4: 3, 6: 3}


@given(st.floats(0.5, 50), st.floats(1, 20), st.floats(0, 5), st.integers(0, 99))
def test_warm_up_comes_first_and_is_marked(rate: float, seconds: float, warmup: float, seed: int) -> None:
    arrivals = Steady(process="constant", stages=[Stage(rate=rate, seconds=seconds)])
    try:
        planned = schedule(arrivals, warmup_seconds=warmup, seed=seed, max_requests=2000)
    except LoadError:
        assert rate * (seconds + warmup) > 1999 or rate * seconds <= 1
        return
    assert all(arrival.warmup == (arrival.at < warmup) for arrival in planned)
    assert planned[-1].at < warmup + seconds


def test_stages_follow_each_other_with_their_own_rate() -> None:
    stages = [Stage(rate=2, seconds=5), Stage(rate=10, seconds=5)]
    planned = schedule(Steady(process="constant", stages=stages), warmup_seconds=1, seed=0, max_requests=100)
    assert Counter(arrival.stage for arrival in planned) == {0: 12, 1: 50}
    assert min(arrival.at for arrival in planned if arrival.stage == 1) == 6


def test_same_seed_same_schedule() -> None:
    arrivals = Burst(process="burst", stages=[Stage(rate=3, seconds=10)], size=5, every_seconds=4)
    first, second, other = (
        schedule(arrivals, warmup_seconds=0, seed=seed, max_requests=1000) for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other
    assert [arrival.at for arrival in first] == sorted(arrival.at for arrival in first)


def test_too_many_requests_are_refused_before_the_run() -> None:
    arrivals = Steady(process="constant", stages=[Stage(rate=100, seconds=10)])
    with pytest.raises(LoadError, match="max_requests = 50"):
        schedule(arrivals, warmup_seconds=0, seed=0, max_requests=50)
