"""Sampling: greedy, cuts, seeds, and reported log-probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.sampling import Sampler, SamplingParams

pytestmark = pytest.mark.unit

LOGITS = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))


def drawn(count: int = 2000, **params: float | int | None) -> set[int]:
    sampler = Sampler(SamplingParams(max_tokens=1, seed=7, **params))  # type: ignore[arg-type]
    return {sampler.pick(LOGITS) for _ in range(count)}


def test_temperature_zero_takes_the_most_probable() -> None:
    assert drawn(temperature=0) == {3}
    assert drawn(top_k=1) == {3}


def test_cuts_leave_the_smallest_set_they_promise() -> None:
    assert drawn() == {0, 1, 2, 3}
    assert drawn(top_k=2) == {2, 3}
    assert drawn(top_p=0.4) == {3}
    assert drawn(top_p=0.5) == {2, 3}
    assert drawn(top_k=3, top_p=0.6) == {2, 3}


def test_frequencies_follow_the_probabilities_at_the_temperature() -> None:
    n = 20_000
    sampler = Sampler(SamplingParams(max_tokens=1, seed=1, temperature=0.5))
    counts = np.bincount([sampler.pick(LOGITS) for _ in range(n)], minlength=4) / n
    expected = np.array([0.01, 0.04, 0.09, 0.16]) / 0.30
    assert np.abs(counts - expected).max() < 0.02


def test_the_seed_decides_and_requests_do_not_share_it() -> None:
    def run(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(max_tokens=1, seed=seed))
        return [sampler.pick(LOGITS) for _ in range(50)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_logprobs_are_of_the_model_whatever_the_temperature() -> None:
    entry = Sampler(SamplingParams(max_tokens=1, logprobs=2, temperature=0.1)).logprob(LOGITS + 9, 1)
    assert entry is not None
    assert entry.logprob == pytest.approx(math.log(0.2), abs=1e-5)
    assert [token for token, _ in entry.top] == [3, 2]
    assert Sampler(SamplingParams(max_tokens=1)).logprob(LOGITS, 1) is None
    none_beside = Sampler(SamplingParams(max_tokens=1, logprobs=0)).logprob(LOGITS, 1)
    assert none_beside is not None
    assert none_beside.top == ()
