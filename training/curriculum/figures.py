"""The criteria of the comparison, out of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from common.pages.figures import Criterion, Figure
from training.curriculum.aggregate import Row
from training.curriculum.prices import MachinePrice

QUALITY = (("bleu", "BLEU", 1), ("chrf", "chrF", 1), ("ser", "slot error rate", 2))
"""Metric, label, digits."""


def criteria(rows: Sequence[Row], price: MachinePrice) -> dict[str, Criterion]:
    """Every criterion by key; techniques without the figure are left out of it."""
    made = [
        *(_quality(rows, *kind) for kind in QUALITY),
        _make(rows, "trainable", "trainable parameters", "", 1, 0, lambda row: row.trainable),
        _make(rows, "seconds", "training time", "s", 1, 0, lambda row: row.seconds),
        _make(rows, "whole", "time with all it builds on", "s", 1, 0, lambda row: row.whole_seconds),
        _make(rows, "memory", "peak memory", "GB", 1e-9, 2, lambda row: row.peak_bytes or None),
        _make(rows, "artifact", "artifact to ship", "MB", 1e-6, 2, lambda row: row.artifact_bytes or None),
        _make(
            rows, "training_cost", "training cost", f"m{price.currency}", 1e3, 2,
            lambda row: price.training(row.seconds),
        ),
        _make(
            rows, "serving_cost", "serving cost per million tokens", price.currency, 1, 4,
            lambda row: _serving(row, price),
        ),
        Criterion(
            "win_rate", "win rate against its start model", "%", 100, 1, True, _combined(rows, "win_rate")
        ),
    ]  # fmt: skip
    return {criterion.key: criterion for criterion in made}


def _quality(rows: Sequence[Row], metric: str, label: str, digits: int) -> Criterion:
    unit = "%" if metric == "ser" else ""
    return Criterion(metric, label, unit, 1, digits, metric != "ser", _combined(rows, metric))


def _combined(rows: Sequence[Row], metric: str) -> dict[str, Figure]:
    found = {row.key: row.quality[metric] for row in rows if metric in row.quality}
    return {key: Figure(c.value, c.n, (c.low, c.high)) for key, c in found.items()}


def _make(
    rows: Sequence[Row], key: str, label: str, unit: str, scale: float, digits: int,
    value: Callable[[Row], float | None],
) -> Criterion:  # fmt: skip
    figures = {row.key: Figure(float(found)) for row in rows if (found := value(row)) is not None}
    return Criterion(key, label, unit, scale, digits, False, figures)


def _serving(row: Row, price: MachinePrice) -> float | None:
    serving = row.first.serving
    return price.million_tokens(serving.tokens_per_second) if serving else None
