"""`python -m training lab scaling`: many small runs, one law, and a larger run that it has to predict."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from common.errors import ConfigError
from common.files import atomic_write
from training.examples import ChatTokenizer, read_rows
from training.labs.fit import Fit, Law, Point, fit
from training.labs.ladder import LabRun, make_tokenizer, train_ladder
from training.labs.scaling_config import ScalingConfig

COUNTS = ("total", "non_embedding")
_SAMPLED_ROWS = 500
"""Rows of which the tokens of a data set are estimated."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best use of one budget of compute."""

    flops: float
    parameters: float
    tokens: float
    ratio: Estimate
    """Tokens per parameter."""
    outside: bool
    """The optimum lies beyond the runs of the fit: an extrapolation."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one fit says."""

    count: str
    """Which parameters are N."""
    fitted: Fit
    coefficients: dict[str, Estimate]
    optima: list[Optimum]
    predicted: Estimate
    """Loss of the held-out run."""
    error_percent: float
    """Predicted against measured loss of the held-out run."""


def scaling_lab(config: ScalingConfig) -> tuple[list[LabRun], list[Reading]]:
    """Train what is not trained yet, fit, predict, write result.json; returns runs and readings.

    Every run is a normal run folder under `<output>/runs/`; an interrupted lab goes on where it was.
    """
    _check_data(config, make_tokenizer(config))
    started = time.monotonic()
    runs: list[LabRun] = []
    for number, size in enumerate(config.sizes, start=1):
        print(f"size {number} of {len(config.sizes)}", file=sys.stderr)
        runs += train_ladder(config, size, config.budgets)
    # Fitted before the larger run is trained: a prediction, not a description.
    fits = {count: _fit(config, runs, count) for count in COUNTS}
    print("held-out run", file=sys.stderr)
    larger = train_ladder(config, config.held_out.size, [config.held_out.tokens], held_out=True)[0]
    readings = [read_off(config, count, fitted, runs, larger) for count, fitted in fits.items()]
    runs.append(larger)
    atomic_write(config.output / "result.json", json.dumps(as_json(config, runs, readings), indent=2) + "\n")
    print(f"lab: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return runs, readings


def _check_data(config: ScalingConfig, tokenizer: ChatTokenizer) -> None:
    """Raise ConfigError where a budget would need more than one pass over the data.

    The law is about fresh tokens; repeated ones are worth less (Muennighoff et al. 2023, arXiv 2305.16264).
    """
    path = config.data / "train.jsonl"
    rows = list(itertools.islice(read_rows(path), _SAMPLED_ROWS))
    texts = [row.get("text") or "".join(m["content"] for m in row["messages"]) for row in rows]
    sampled = sum(len(ids) for ids in tokenizer.encode(texts))
    total = sum(1 for _ in path.open("rb"))
    available = sampled * total // max(1, len(rows))
    most = max(*config.budgets, config.held_out.tokens)
    if most > available:
        raise ConfigError(
            f"{config.data}: holds about {available:,} tokens, the largest budget is {most:,}: a text would "
            "be seen twice; use a larger data set or smaller budgets"
        )


def _fit(config: ScalingConfig, runs: list[LabRun], count: str) -> Fit:
    points = [Point(run.parameters(count), run.tokens, run.loss) for run in runs]
    return fit(points, config.resamples, config.seed)


def read_off(config: ScalingConfig, count: str, fitted: Fit, runs: list[LabRun], larger: LabRun) -> Reading:
    """Coefficients, optima and the prediction of `larger`, each with its interval."""

    def estimate(figure: Callable[[Law], float]) -> Estimate:
        return Estimate(figure(fitted.law), *fitted.interval(figure))

    sizes = [run.parameters(count) for run in runs]
    budgets = [run.tokens for run in runs]
    optima = []
    for flops in [] if fitted.law.undetermined else config.flops:
        parameters, tokens = fitted.law.optimum(flops)
        inside = min(sizes) <= parameters <= max(sizes) and min(budgets) <= tokens <= max(budgets)
        ratio = estimate(lambda law, flops=flops: law.tokens_per_parameter(flops))  # type: ignore[misc]
        optima.append(Optimum(flops, parameters, tokens, ratio, not inside))
    predicted = estimate(lambda law: law.loss(larger.parameters(count), larger.tokens))
    names = ("e", "a", "alpha", "b", "beta")
    coefficients = {name: estimate(lambda law, name=name: getattr(law, name)) for name in names}  # type: ignore[misc]
    error = 100 * (predicted.value / larger.loss - 1)
    return Reading(count, fitted, coefficients, optima, predicted, error)


def as_json(config: ScalingConfig, runs: list[LabRun], readings: list[Reading]) -> dict[str, Any]:
    """Everything that was found, for result.json."""
    return {
        "config": config.model_dump(mode="json"),
        "runs": [asdict(run) for run in runs],
        "fits": [
            {
                "parameters": reading.count, "n": len(reading.fitted.points),
                "resamples": len(reading.fitted.resampled),
                "coefficients": {name: asdict(value) for name, value in reading.coefficients.items()},
                "undetermined": reading.fitted.law.undetermined,
                "worst_error_percent": 100 * reading.fitted.worst_error(),
                "optima": [asdict(optimum) for optimum in reading.optima],
                "held_out": {
                    "predicted": asdict(reading.predicted), "measured": runs[-1].loss,
                    "error_percent": reading.error_percent,
                },
            }
            for reading in readings
        ],
    }  # fmt: skip


def table(runs: list[LabRun], readings: list[Reading]) -> str:
    """The runs and the readings for people."""
    lines = [
        f"{'N total':>10} {'N no emb.':>10} {'D tokens':>10} {'FLOPs':>9} {'seconds':>8} {'dev loss':>9}"
    ]
    lines += [
        f"{run.total:>10,} {run.non_embedding:>10,} {run.tokens:>10,} {run.flops:>9.2e} {run.seconds:>8.1f} "
        f"{run.loss:>9.4f}{'  held out' if run.held_out else ''}"
        for run in runs
    ]
    for reading in readings:
        lines += ["", *_reading_lines(reading, runs[-1])]
    return "\n".join(lines)


def _reading_lines(reading: Reading, larger: LabRun) -> list[str]:
    fitted, symbols = reading.fitted, {"e": "E", "a": "A", "b": "B"}
    text = "with" if reading.count == "total" else "without"
    lines = [
        f"N {text} embedding: L(N, D) = E + A/N^alpha + B/D^beta over {len(fitted.points)} runs, "
        f"95 % bootstrap intervals ({len(fitted.resampled)} resamples)",
        "  " + ", ".join(
            f"{symbols.get(name, name)} {value.value:.4g} [{value.low:.4g}, {value.high:.4g}]"
            for name, value in reading.coefficients.items()
        ),
        f"  largest error on a run of the fit {100 * fitted.worst_error():.2f} %",
    ]  # fmt: skip
    if problem := fitted.law.undetermined:
        lines.append(f"  warning: {problem}; train longer, or smaller sizes")
    for optimum in reading.optima:
        lines.append(
            f"  {optimum.flops:.0e} FLOPs: N {optimum.parameters:.3g}, D {optimum.tokens:.3g}, D/N "
            f"{optimum.ratio.value:.3g} [{optimum.ratio.low:.3g}, {optimum.ratio.high:.3g}]"
            f"{' (beyond the runs)' if optimum.outside else ''}"
        )
    predicted = reading.predicted
    lines.append(
        f"  held-out run: predicted {predicted.value:.4f} [{predicted.low:.4f}, {predicted.high:.4f}], "
        f"measured {larger.loss:.4f}: {reading.error_percent:+.2f} %"
    )
    return lines
