"""Fit a scaling law to the losses of many small runs and read the best use of compute off it.

    L(N, D) = E + A / N^alpha + B / D^beta

with N parameters, D training tokens, L the dev loss in nats per token (Hoffmann et al. 2022, "Training
Compute-Optimal Large Language Models", arXiv 2203.15556, approach 3): the Huber loss between the logarithms
of predicted and measured loss is minimised by L-BFGS from a grid of starts, and the best end is taken. Like
Besiroglu et al. 2024 (arXiv 2404.10102) we add the Huber terms up and stop late: their average is so small
that the default tolerance ends the search before it has begun.

Intervals are percentile bootstraps over runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.errors import TriviumError

FloatArray = NDArray[np.float64]

HUBER_DELTA = 1e-3
"""On log loss: about 0.1 % of the loss. Runs further off count linearly, not squared."""
FLOPS_PER_PARAMETER_TOKEN = 6.0
"""Forward 2, backward 4 (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""
_COEFFICIENTS = 5
_STARTS = tuple(itertools.product((-2.0, -0.5, 1.0), (-2.0, -0.5, 1.0), (-1.0, 0.5), (0.3, 0.9), (0.3, 0.9)))
"""Logarithms of A / N^alpha, B / D^beta (both at the centre of the data) and E; alpha and beta."""
_BOUNDS = ((-12.0, 6.0), (-12.0, 6.0), (-12.0, 6.0), (0.01, 4.0), (0.01, 4.0))
_EDGE = 0.02
"""An exponent below this, or this close to its upper bound, was stopped by the bounds, not by the runs."""
_BOOTSTRAP_STARTS = 4


class FitError(TriviumError):
    """The runs do not determine a scaling law."""


@dataclass(frozen=True, slots=True)
class Point:
    """One finished run."""

    parameters: float
    tokens: float
    loss: float
    """Dev loss, nats per token."""


@dataclass(frozen=True, slots=True)
class Law:
    """The five coefficients."""

    e: float
    """Loss that no model and no amount of data goes below, nats per token."""
    a: float
    alpha: float
    b: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Predicted dev loss."""
        return float(self.e + self.a / parameters**self.alpha + self.b / tokens**self.beta)

    def optimum(self, flops: float) -> tuple[float, float]:
        """Parameters and tokens of lowest loss where 6 N D = `flops` (equation 4 of Hoffmann et al.)."""
        work = flops / FLOPS_PER_PARAMETER_TOKEN
        both = self.alpha + self.beta
        scale = (self.alpha * self.a / (self.beta * self.b)) ** (1 / both)
        parameters = scale * work ** (self.beta / both)
        return parameters, work / parameters

    @property
    def undetermined(self) -> str | None:
        """Why no optimum can be read off this law, or None: an exponent is at the edge of the search."""
        flat = [
            name for name in ("alpha", "beta") if not _EDGE < getattr(self, name) < _BOUNDS[-1][1] - _EDGE
        ]
        if not flat:
            return None
        cause = {"alpha": "size hardly matters", "beta": "the number of tokens hardly matters"}[flat[0]]
        return f"{flat[0]} is at the edge of the search: in these runs {cause}, no optimum can be read off"

    def tokens_per_parameter(self, flops: float) -> float:
        """D / N at the optimum."""
        parameters, tokens = self.optimum(flops)
        return tokens / parameters


@dataclass(frozen=True, slots=True)
class Fit:
    """A law, the runs behind it, and the laws of resampled runs."""

    law: Law
    points: tuple[Point, ...]
    resampled: tuple[Law, ...]

    def interval(self, figure: Callable[[Law], float], confidence: float = 0.95) -> tuple[float, float]:
        """Percentile interval of whatever `figure` reads off a law."""
        values = np.array([figure(law) for law in self.resampled])
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

    def worst_error(self) -> float:
        """Largest relative difference between fitted and measured loss."""
        return max(abs(self.law.loss(p.parameters, p.tokens) / p.loss - 1) for p in self.points)


def fit(points: Sequence[Point], resamples: int = 400, seed: int = 1) -> Fit:
    """Fit the law and `resamples` laws of runs drawn with replacement.

    Raises FitError for fewer than 6 runs, fewer than 3 sizes or budgets, or a loss that is no number.
    """
    _check(points)
    data = _Data(points)
    every = np.ones(len(points))
    ends = sorted((_minimise(data, every, np.array(start)) for start in _STARTS), key=lambda end: end[0])
    best = ends[0][1]
    # Resampled runs are close to the runs themselves: their optimum is near one of these.
    starts = [best, *(end[1] for end in ends[1 :: max(1, len(ends) // _BOOTSTRAP_STARTS)])][
        :_BOOTSTRAP_STARTS
    ]
    rng = np.random.default_rng(seed)
    laws = []
    for _ in range(resamples):
        weights = _draw(points, rng)
        laws.append(data.law(min((_minimise(data, weights, s) for s in starts), key=lambda end: end[0])[1]))
    return Fit(data.law(best), tuple(points), tuple(laws))


def _check(points: Sequence[Point]) -> None:
    sizes, budgets = {p.parameters for p in points}, {p.tokens for p in points}
    if len(points) <= _COEFFICIENTS or len(sizes) < 3 or len(budgets) < 3:
        raise FitError(
            f"{len(points)} runs of {len(sizes)} sizes and {len(budgets)} token budgets do not determine "
            f"{_COEFFICIENTS} coefficients; train at least 3 sizes x 3 budgets"
        )
    bad = [p for p in points if not (np.isfinite(p.loss) and p.loss > 0)]
    if bad:
        raise FitError(f"the loss of the run with N = {bad[0].parameters:,.0f} is {bad[0].loss}: remove it")


def _draw(points: Sequence[Point], rng: np.random.Generator) -> FloatArray:
    """How often each run is drawn; drawn again where what came out has fewer than 3 sizes or budgets."""
    while True:
        weights = rng.multinomial(len(points), np.full(len(points), 1 / len(points))).astype(np.float64)
        drawn = [p for p, weight in zip(points, weights, strict=True) if weight]
        if len({p.parameters for p in drawn}) >= 3 and len({p.tokens for p in drawn}) >= 3:
            return weights


class _Data:
    """The runs in logarithms. N and D are divided by their geometric means, so that the coefficients that the
    search moves hardly depend on each other."""

    def __init__(self, points: Sequence[Point]) -> None:
        n = np.log([p.parameters for p in points])
        d = np.log([p.tokens for p in points])
        self._middle = (float(n.mean()), float(d.mean()))
        self.n, self.d = n - self._middle[0], d - self._middle[1]
        self.loss = np.log([p.loss for p in points])

    def law(self, x: FloatArray) -> Law:
        a, b, e, alpha, beta = (float(value) for value in x)
        n, d = self._middle
        return Law(float(np.exp(e)), float(np.exp(a + alpha * n)), alpha, float(np.exp(b + beta * d)), beta)

    def objective(self, x: FloatArray, weights: FloatArray) -> tuple[float, FloatArray]:
        """Sum of Huber losses in units of delta squared, and its gradient."""
        a, b, e, alpha, beta = x
        terms = np.stack([a - alpha * self.n, b - beta * self.d, np.full_like(self.n, e)])
        total = np.logaddexp.reduce(terms, axis=0)
        shares = np.exp(terms - total)
        residual = (total - self.loss) / HUBER_DELTA
        small = np.abs(residual) <= 1
        value = np.where(small, residual**2 / 2, np.abs(residual) - 0.5)
        slope = weights * np.clip(residual, -1, 1) / HUBER_DELTA
        by_term = (slope * shares).sum(axis=1)
        gradient = [*by_term, -(slope * shares[0] * self.n).sum(), -(slope * shares[1] * self.d).sum()]
        return float((weights * value).sum()), np.array(gradient)


def _minimise(data: _Data, weights: FloatArray, start: FloatArray) -> tuple[float, FloatArray]:
    from scipy.optimize import minimize

    end = minimize(
        data.objective, start, args=(weights,), jac=True, method="L-BFGS-B", bounds=_BOUNDS,
        options={"maxiter": 500, "ftol": 1e-10, "gtol": 1e-6},
    )  # fmt: skip
    return float(end.fun), np.asarray(end.x)
