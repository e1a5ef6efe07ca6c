"""Rows of the comparison: a technique over its seeds, each figure with n, seeds, interval and spread.

A figure of one seed has the bootstrap interval over inputs that its outcome states. Over S seeds the value
is the mean, and two sources of doubt add up: the inputs, the same for every seed, so that more seeds do not
lessen their part (its variance is the mean of the seeds' bootstrap variances); and the seeds, whose part is
t(0.975, S - 1)^2 s^2 / S with the standard deviation s between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from training.curriculum.records import Record
from training.outcome import Family, Figure, Outcome


@dataclass(frozen=True, slots=True)
class Combined:
    """One figure of one technique."""

    value: float
    """The mean over seeds."""
    n: int
    """Inputs; the smallest number where seeds differ."""
    seeds: int
    low: float | None
    high: float | None
    spread: float | None
    """Standard deviation between seeds; None for one seed."""
    unit: str
    higher_is_better: bool | None


@dataclass(frozen=True, slots=True)
class Row:
    """One technique."""

    key: str
    label: str
    family: Family
    records: tuple[Record, ...]
    """By seed."""
    quality: dict[str, Combined]
    """By metric."""
    trainable: int
    total: int
    seconds: float
    """Mean training time of the technique alone."""
    whole_seconds: float
    """The same with the time of every model of the suite that it starts or learns from."""
    peak_bytes: int
    artifact_bytes: int
    tokens: float

    @property
    def first(self) -> Outcome:
        """The outcome of the lowest seed."""
        return self.records[0].outcome

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in order."""
        return tuple(record.outcome.seed for record in self.records)


def rows_of(records: Sequence[Record]) -> list[Row]:
    """One row per technique, families together, in the order of the families and then of quality."""
    by_technique: dict[str, list[Record]] = {}
    for record in records:
        by_technique.setdefault(record.outcome.technique, []).append(record)
    runs = {record.folder.resolve(): record for record in records}
    rows = [_row(key, found, runs) for key, found in by_technique.items()]
    return sorted(rows, key=lambda row: (FAMILIES.index(row.family), -_headline(row)))


FAMILIES: tuple[Family, ...] = (
    "baseline", "fine-tuning", "adapter", "distillation", "alignment", "prompting",
)  # fmt: skip


def combine(figures: Sequence[Figure]) -> Combined:
    """One figure out of one per seed; see above for the interval."""
    first, value, n = figures[0], fmean(f.value for f in figures), min(f.n for f in figures)
    low, high, spread = doubt([(f.value, f.ci_low, f.ci_high) for f in figures])
    if (
        spread is not None
        and low is not None
        and (first.metric == "ser" or min(f.value for f in figures) >= 0)
    ):
        low = max(0.0, low)  # no rate or score here is negative
    return Combined(value, n, len(figures), low, high, spread, first.unit, first.higher_is_better)


def doubt(
    seeds: Sequence[tuple[float, float | None, float | None]],
) -> tuple[float | None, float | None, float | None]:
    """Interval of the mean and standard deviation between seeds, out of value, low and high of each seed."""
    if len(seeds) == 1:
        return seeds[0][1], seeds[0][2], None
    values = [value for value, _, _ in seeds]
    value, spread = fmean(values), stdev(values)
    between = _quantile(len(values) - 1) * spread / math.sqrt(len(values))
    sides = [(v - low, high - v) for v, low, high in seeds if low is not None and high is not None]
    within = [math.sqrt(fmean([side[end] ** 2 for side in sides])) if sides else 0.0 for end in (0, 1)]
    return value - math.hypot(within[0], between), value + math.hypot(within[1], between), spread


def _quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))


def _row(key: str, found: Sequence[Record], runs: dict[Path, Record]) -> Row:
    outcomes = [record.outcome for record in found]
    by_metric: dict[str, list[Figure]] = {}
    for outcome in outcomes:
        for figure in [*outcome.figures, *_win_rate(outcome)]:
            by_metric.setdefault(figure.metric, []).append(figure)
    quality = {metric: combine(figures) for metric, figures in by_metric.items()}
    first = outcomes[0]
    return Row(
        key=key, label=first.label, family=first.family, records=tuple(found), quality=quality,
        trainable=first.trainable_parameters, total=first.total_parameters,
        seconds=fmean(outcome.train_seconds for outcome in outcomes),
        whole_seconds=fmean(_seconds_with_origins(record, runs) for record in found),
        peak_bytes=max(outcome.peak_rss_bytes for outcome in outcomes),
        artifact_bytes=first.artifact_bytes, tokens=fmean(outcome.tokens for outcome in outcomes),
    )  # fmt: skip


def _win_rate(outcome: Outcome) -> list[Figure]:
    """The judge's verdict on an aligned model, a share of the dev inputs; empty for other techniques."""
    rate, low, high = (outcome.details.get(key) for key in ("win_rate", "win_low", "win_high"))
    bleu = outcome.figure("bleu")
    if bleu and isinstance(rate, float) and isinstance(low, float) and isinstance(high, float):
        return [Figure(metric="win_rate", value=rate, n=bleu.n, ci_low=low, ci_high=high)]
    return []


def _seconds_with_origins(record: Record, runs: dict[Path, Record]) -> float:
    """Training time of the run and of all runs behind it, each once."""
    seen: dict[Path, float] = {}
    waiting = [record]
    while waiting:
        current = waiting.pop()
        if current.folder.resolve() in seen:
            continue
        seen[current.folder.resolve()] = current.outcome.train_seconds
        waiting += [runs[folder] for folder in _origins(current.outcome) if folder in runs]
    return sum(seen.values())


def _origins(outcome: Outcome) -> list[Path]:
    """Run folders of the start model and of the teacher; either may be given as run or as model folder."""
    named = [outcome.start, outcome.details.get("teacher"), outcome.details.get("reward_model")]
    paths = [Path(name).resolve() for name in named if isinstance(name, str) and name]
    return [path.parent if path.name == "model" else path for path in paths]


def _headline(row: Row) -> float:
    bleu = row.quality.get("bleu")
    return bleu.value if bleu else 0.0
