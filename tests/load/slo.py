"""Which requests were good, and whether the run kept the objectives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from observability.slo import Percentiles, load_slo
from tests.load.records import RequestRecord
from tests.load.scenario import InlineSlo, SloReference

GOODPUT_FORMULA = (
    "requests that met every threshold / all offered requests (failed and dropped ones are misses)"
)


@dataclass(frozen=True, slots=True)
class Objective:
    """Thresholds of one request (s), the share that must meet them, and bounds of percentiles."""

    source: str
    ttft: float | None
    tpot: float | None
    e2e: float | None
    goodput: float
    percentiles: dict[str, dict[str, float]]
    """Metric → percentile → upper bound, s; empty for inline thresholds."""

    def good(self, record: RequestRecord) -> bool:
        """Came whole and met every threshold, TTFT and E2E counted from the scheduled start.

        A threshold that cannot apply (TPOT of a single token, TTFT without a stream) is met.
        """
        if not record.ok:
            return False
        measured = (
            (record.ttft_intended, self.ttft),
            (record.tpot, self.tpot),
            (record.e2e_intended, self.e2e),
        )
        return all(value is None or limit is None or value <= limit for value, limit in measured)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; times in seconds."""
        return asdict(self)


def resolve(slo: InlineSlo | SloReference, folder: Path, road: str | None) -> Objective:
    """The objective that a scenario names; `road` takes the place of the reference's own.

    Raises ConfigError for an unusable SLO file.
    """
    if isinstance(slo, InlineSlo):
        return Objective(
            "scenario", _seconds(slo.ttft_ms), _seconds(slo.tpot_ms), _seconds(slo.e2e_ms), slo.goodput, {}
        )
    name = road or slo.road
    promised = load_slo((folder / slo.file).resolve()).for_road(name)
    need = promised.goodput
    bounds = {
        "ttft_intended": promised.ttft_seconds, "tpot": promised.tpot_seconds,
        "e2e_intended": promised.e2e_seconds,
    }  # fmt: skip
    return Objective(
        f"{slo.file.name}, road {name}", need.ttft_seconds, need.tpot_seconds, need.e2e_seconds, need.minimum,
        {metric: _bounds(percentiles) for metric, percentiles in bounds.items()},
    )  # fmt: skip


def mark_good(records: Iterable[RequestRecord], objective: Objective) -> None:
    """Set `good` on every record."""
    for record in records:
        record.good = objective.good(record)


def misses(objective: Objective, goodput: float, metrics: dict[str, dict[str, Any]]) -> list[str]:
    """One line for each objective that the run did not keep; empty: all were kept."""
    missed = []
    if goodput < objective.goodput:
        missed.append(f"goodput {goodput:.1%} is below {objective.goodput:.1%}")
    for metric, bounds in objective.percentiles.items():
        for name, bound in bounds.items():
            value = metrics[metric].get(name)
            if value is not None and value > bound:
                missed.append(f"{metric} {name} {value * 1000:.1f} ms is above {bound * 1000:.0f} ms")
    return missed


def _bounds(percentiles: Percentiles) -> dict[str, float]:
    return {"p95": percentiles.p95, "p99": percentiles.p99}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
