"""Each technique against full fine-tuning on the same inputs, in pairs, where answers were kept.

Seed by seed; over several seeds the difference is the mean, with the interval of `aggregate.doubt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from training.curriculum.aggregate import Row, doubt
from training.curriculum.records import Record
from training.quality import METRICS, dev_set

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Paired:
    """This technique minus the other on one metric."""

    metric: str
    difference: float
    low: float | None
    high: float | None
    p: float
    """Two-sided: paired approximate randomisation for one seed; for several the normal approximation whose
    95 % interval is that of the difference."""
    adjusted: float
    """p after Benjamini and Hochberg (1995) over all techniques of the page."""
    n: int
    seeds: tuple[int, ...]

    @property
    def significant(self) -> bool:
        """Whether the difference stands at a false discovery rate of 5 %."""
        return self.adjusted < ALPHA


def against(rows: Sequence[Row], key: str, resamples: int = 1000) -> dict[str, dict[str, Paired]]:
    """Technique → metric → comparison with technique `key`, over the seeds that both have.

    Techniques without stored answers, or with other inputs, are left out.
    """
    other = next((row for row in rows if row.key == key), None)
    if other is None:
        return {}
    found = {row.key: made for row in rows if row is not other and (made := _pair(row, other, resamples))}
    return _adjust(found)


def _pair(row: Row, other: Row, resamples: int) -> dict[str, Paired]:
    by_seed = [_one_seed(mine, theirs, resamples) for mine, theirs in _common_seeds(row, other)]
    metrics = {metric: None for found in by_seed for metric in found}
    return {metric: _mean([found[metric] for found in by_seed if metric in found]) for metric in metrics}


def _one_seed(one: Record, other: Record, resamples: int) -> dict[str, Paired]:
    from evaluation.scoring import score

    mine, theirs = one.answers(), other.answers()
    wanted = dev_set(Path(one.outcome.data))
    pairs = [
        (text, group)
        for text, group in zip(wanted.inputs or [], wanted.groups, strict=True)
        if text in mine and text in theirs
    ]
    if len(pairs) < 2:
        return {}
    inputs, groups = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    report = score(
        [mine[text] for text in inputs], groups, inputs, metrics=METRICS, resamples=resamples,
        against=[theirs[text] for text in inputs],
    )  # fmt: skip
    return {
        result.metric: Paired(
            result.metric, result.difference, result.ci_low, result.ci_high, result.p_permutation,
            result.p_permutation, len(inputs), (one.outcome.seed,),
        )
        for result in report.comparison or []
        if result.p_permutation is not None
    }  # fmt: skip


def _mean(found: Sequence[Paired]) -> Paired:
    """One comparison out of one per seed."""
    from scipy.stats import norm

    first = found[0]
    if len(found) == 1:
        return first
    difference = fmean(one.difference for one in found)
    low, high, _ = doubt([(one.difference, one.low, one.high) for one in found])
    assert low is not None, "several seeds always have an interval"
    assert high is not None
    towards_zero = difference - low if difference > 0 else high - difference
    p = float(2 * norm.sf(abs(difference) / towards_zero * norm.ppf(0.975))) if towards_zero else 1.0
    seeds = tuple(seed for one in found for seed in one.seeds)
    return Paired(first.metric, difference, low, high, p, p, min(one.n for one in found), seeds)


def _common_seeds(row: Row, other: Row) -> list[tuple[Record, Record]]:
    """The records of each seed for which both have answers."""
    mine = {record.outcome.seed: record for record in row.records if record.answers_file}
    theirs = {record.outcome.seed: record for record in other.records if record.answers_file}
    return [(mine[seed], theirs[seed]) for seed in sorted(mine.keys() & theirs.keys())]


def _adjust(found: dict[str, dict[str, Paired]]) -> dict[str, dict[str, Paired]]:
    from scipy.stats import false_discovery_control

    result = {key: dict(made) for key, made in found.items()}
    for metric in METRICS:
        keys = [key for key, made in found.items() if metric in made]
        if keys:
            adjusted = false_discovery_control([found[key][metric].p for key in keys])
            for key, value in zip(keys, adjusted, strict=True):
                result[key][metric] = replace(found[key][metric], adjusted=float(value))
    return result
