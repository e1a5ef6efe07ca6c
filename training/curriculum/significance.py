"""Each technique against full fine-tuning on the same inputs, in pairs, where answers were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.curriculum.aggregate import Row
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
    """Two-sided, paired approximate randomisation."""
    adjusted: float
    """p after Benjamini and Hochberg (1995) over all techniques of the page."""
    n: int
    seed: int

    @property
    def significant(self) -> bool:
        """Whether the difference stands at a false discovery rate of 5 %."""
        return self.adjusted < ALPHA


def against(rows: Sequence[Row], key: str, resamples: int = 1000) -> dict[str, dict[str, Paired]]:
    """Technique → metric → comparison with technique `key`, on the lowest seed that both have.

    Techniques without stored answers, or with other inputs, are left out.
    """
    other = next((row for row in rows if row.key == key), None)
    if other is None:
        return {}
    found = {row.key: made for row in rows if row is not other and (made := _pair(row, other, resamples))}
    return _adjust(found)


def _pair(row: Row, other: Row, resamples: int) -> dict[str, Paired]:
    from evaluation.scoring import score

    both = _common_seed(row, other)
    if both is None:
        return {}
    mine, theirs = both[0].answers(), both[1].answers()
    wanted = dev_set(Path(row.first.data))
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
    seed = both[0].outcome.seed
    return {
        result.metric: Paired(
            result.metric, result.difference, result.ci_low, result.ci_high, result.p_permutation,
            result.p_permutation, len(inputs), seed,
        )
        for result in report.comparison or []
        if result.p_permutation is not None
    }  # fmt: skip


def _common_seed(row: Row, other: Row) -> tuple[Record, Record] | None:
    """The records of the lowest seed for which both have answers."""
    mine = {record.outcome.seed: record for record in row.records if record.answers_file}
    theirs = {record.outcome.seed: record for record in other.records if record.answers_file}
    for seed in sorted(mine):
        if seed in theirs:
            return mine[seed], theirs[seed]
    return None


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
