"""The arithmetic of the simulated network, on a clock that is a number."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roads.config import NetworkProfile
from roads.link import Network

pytestmark = pytest.mark.unit

MEGABYTE = 1_000_000


def profile(**values: object) -> NetworkProfile:
    return NetworkProfile.from_dict(
        {"description": "test", "rtt_ms": 40, "handshake_round_trips": 0, "burst_kib": 1, **values}, "test"
    )


def test_each_direction_takes_half_of_the_round_trip() -> None:
    up, down = Network(profile()).connect(now=0.0)
    assert up.arrival(10.0, 100) == pytest.approx(10.020)
    assert down.arrival(10.0, 100) == pytest.approx(10.020)


@pytest.mark.parametrize("trips", [0, 1, 2])
def test_the_first_byte_waits_for_the_handshake_and_later_ones_do_not(trips: int) -> None:
    up, _ = Network(profile(handshake_round_trips=trips)).connect(now=5.0)
    assert up.arrival(5.0, 100) == pytest.approx(5.0 + trips * 0.040 + 0.020)
    assert up.arrival(6.0, 100) == pytest.approx(6.020)


def test_bandwidth_spaces_a_long_transfer_out() -> None:
    up, _ = Network(profile(bandwidth_mbit_per_s=8)).connect(now=0.0)  # one megabyte a second
    last = [up.arrival(0.0, 10_000) for _ in range(100)][-1]
    assert last == pytest.approx(1.0 + 0.020, abs=0.002)


def test_connections_share_the_bandwidth() -> None:
    network = Network(profile(bandwidth_mbit_per_s=8))
    links = [network.connect(now=0.0)[1] for _ in range(4)]
    last = max(link.arrival(0.0, 10_000) for _ in range(25) for link in links)
    assert last == pytest.approx(1.0 + 0.020, abs=0.002)


def test_the_directions_do_not_share_it() -> None:
    up, down = Network(profile(bandwidth_mbit_per_s=8)).connect(now=0.0)
    up.arrival(0.0, MEGABYTE)
    assert down.arrival(0.0, 100) == pytest.approx(0.020, abs=0.001)


def test_a_burst_passes_at_once_after_silence() -> None:
    up, _ = Network(profile(bandwidth_mbit_per_s=8, burst_kib=100)).connect(now=0.0)
    assert up.arrival(0.0, 50_000) == pytest.approx(0.020)
    assert up.arrival(0.0, 152_400) == pytest.approx(0.020 + 0.1, abs=0.001)


def test_jitter_has_the_given_deviation_per_round_trip() -> None:
    network = Network(profile(jitter_ms=5))
    trips = []
    for number in range(4000):
        up, down = network.connect(now=float(number))
        trips.append(down.arrival(up.arrival(number, 1), 1) - number)
    assert statistics.mean(trips) == pytest.approx(0.040, abs=0.001)
    assert statistics.stdev(trips) == pytest.approx(0.005, rel=0.1)


def test_the_same_seed_gives_the_same_delays() -> None:
    def arrivals(seed: int) -> list[float]:
        network = Network(profile(jitter_ms=5, seed=seed))
        return [network.connect(0.0)[0].arrival(0.0, 10) for _ in range(20)]

    assert arrivals(1) == arrivals(1)
    assert arrivals(1) != arrivals(2)


chunks = st.lists(st.tuples(st.floats(0, 0.1), st.integers(0, 100_000)), min_size=1, max_size=50)


@given(chunks=chunks, jitter=st.floats(0, 100), rate=st.none() | st.floats(0.1, 1000))
def test_bytes_are_never_reordered_and_never_early(
    chunks: list[tuple[float, int]], jitter: float, rate: float | None
) -> None:
    up, _ = Network(profile(jitter_ms=jitter, bandwidth_mbit_per_s=rate)).connect(now=0.0)
    now, last = 0.0, 0.0
    for wait, size in chunks:
        now += wait
        arrival = up.arrival(now, size)
        assert arrival >= now
        assert arrival >= last
        last = arrival


@given(chunks=chunks, rate=st.floats(0.1, 1000), burst=st.integers(1, 256))
def test_no_interval_carries_more_than_the_rate_and_one_burst(
    chunks: list[tuple[float, int]], rate: float, burst: int
) -> None:
    up, _ = Network(profile(rtt_ms=0, bandwidth_mbit_per_s=rate, burst_kib=burst)).connect(now=0.0)
    now, sent = 0.0, 0
    for wait, size in chunks:
        now += wait
        sent += size
        allowed = rate * 125_000 * up.arrival(now, size) + burst * 1024
        assert sent <= allowed * (1 + 1e-9) + 1
