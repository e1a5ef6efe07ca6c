"""Quality of a set of outputs, in the words of the bundle's manifest and of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import TriviumError
from evaluation.report import ScoreReport
from evaluation.scoring import score
from tradeoffs.report.model import QualityMetric

METRICS = ("bleu", "chrf", "rougeL", "meteor", "cider", "nist", "ser", "distinct2", "length")
"""What is reported of each lane."""
BUNDLE_METRICS = ("bleu", "nist", "meteor", "rougeL", "cider", "chrf", "rouge1", "rouge2", "ser", "distinct1",
                  "distinct2", "length")  # fmt: skip
"""What the manifest states of the model."""


class QualityError(TriviumError):
    """The references cannot be used, or a model missed its gate."""

    exit_code = 1


@dataclass(frozen=True)
class References:
    """n distinct inputs with their references."""

    inputs: list[str]
    groups: list[list[str]]

    @classmethod
    def read(cls, path: Path, limit: int | None = None) -> References:
        """The first `limit` rows of a prepared `references-*.jsonl`. Raises QualityError."""
        try:
            rows = [json.loads(line) for line in path.read_text().splitlines()[:limit]]
            return cls([row["input"] for row in rows], [row["references"] for row in rows])
        except (OSError, ValueError, KeyError) as exc:
            raise QualityError(f"{path}: not a references file of a prepared data set: {exc!r}") from exc


def scored(
    outputs: Sequence[str], references: References, metrics: Sequence[str], resamples: int
) -> ScoreReport:
    """Score outputs in the order of the references; the intervals are percentile bootstraps."""
    return score(outputs, references.groups, references.inputs, metrics=metrics, resamples=resamples)


def for_report(report: ScoreReport) -> list[QualityMetric]:
    """The metrics as the trade-off report shows them."""
    return [
        QualityMetric(
            key=m.metric, label=m.label, value=m.value, ci95=(m.ci_low, m.ci_high), n=m.n, unit=m.unit,
            higher_is_better=m.higher_is_better,
        )
        for m in report.metrics
    ]  # fmt: skip
