"""The scaling-law fit finds coefficients that are known, and its intervals hold them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from training.labs.fit import FitError, Law, Point, fit

pytestmark = pytest.mark.unit

LAW = Law(e=1.7, a=40.0, alpha=0.34, b=90.0, beta=0.37)
SIZES = (5e4, 1.2e5, 3e5, 7e5, 1.5e6)
BUDGETS = (6.4e4, 1.28e5, 2.56e5, 5.12e5)


def runs(noise: float, seed: int = 0) -> list[Point]:
    rng = np.random.default_rng(seed)
    return [Point(n, d, LAW.loss(n, d) * float(np.exp(noise * rng.normal()))) for n in SIZES for d in BUDGETS]


def test_exact_losses_give_the_coefficients_back() -> None:
    law = fit(runs(noise=0), resamples=1).law
    assert law.e == pytest.approx(LAW.e, rel=0.01)
    assert law.alpha == pytest.approx(LAW.alpha, rel=0.02)
    assert law.beta == pytest.approx(LAW.beta, rel=0.02)
    assert law.loss(3e6, 1e6) == pytest.approx(LAW.loss(3e6, 1e6), rel=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_intervals_hold_the_truth(seed: int) -> None:
    found = fit(runs(noise=0.002, seed=seed), resamples=60, seed=seed)
    figures: list[Callable[[Law], float]] = [
        lambda law: law.alpha,
        lambda law: law.beta,
        lambda law: law.tokens_per_parameter(1e12),
        lambda law: law.loss(3e6, 1e6),
    ]
    for figure in figures:
        low, high = found.interval(figure, confidence=0.99)
        assert low <= figure(LAW) <= high
    assert found.worst_error() < 0.01


def test_one_run_that_went_wrong_hardly_moves_the_law() -> None:
    points = runs(noise=0.001, seed=4)
    broken = [Point(p.parameters, p.tokens, p.loss * 1.3) if i == 7 else p for i, p in enumerate(points)]
    assert fit(broken, resamples=1).law.loss(3e6, 1e6) == pytest.approx(LAW.loss(3e6, 1e6), rel=0.01)


def test_the_optimum_is_the_lowest_loss_of_its_compute() -> None:
    flops = 1e13
    parameters, tokens = LAW.optimum(flops)
    assert 6 * parameters * tokens == pytest.approx(flops)
    search = minimize_scalar(
        lambda n: LAW.loss(np.exp(n), flops / 6 / np.exp(n)), bounds=(5, 25), method="bounded"
    )
    assert np.log(parameters) == pytest.approx(search.x, abs=1e-3)
    assert LAW.tokens_per_parameter(flops) == pytest.approx(tokens / parameters)


def test_too_few_runs_are_refused_in_words() -> None:
    with pytest.raises(FitError, match="4 runs of 1 sizes and 4 token budgets"):
        fit(runs(noise=0)[:4])


def test_a_loss_that_is_no_number_is_refused() -> None:
    points = [*runs(noise=0), Point(1e6, 1e6, float("nan"))]
    with pytest.raises(FitError, match="N = 1,000,000 is nan"):
        fit(points)


def test_the_same_runs_and_seed_give_the_same_intervals() -> None:
    first, second = (fit(runs(noise=0.002), resamples=5, seed=9) for _ in range(2))
    assert first.resampled == second.resampled


def test_runs_in_which_size_does_not_matter_have_no_optimum() -> None:
    assert Law(e=1.0, a=1e-6, alpha=0.01, b=17.0, beta=0.11).undetermined is not None
    assert LAW.undetermined is None
