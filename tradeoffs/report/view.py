"""What the pages show, computed once for HTML, Markdown and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from common.pages.figures import Criterion, Ranking, rank
from tradeoffs.report.figures import criteria, lane_name
from tradeoffs.report.model import Lane, LoadFigures, ReportInput, Sample
from tradeoffs.report.prices import Cost, Prices, capacity_is_lower_bound, cost
from tradeoffs.report.recommend import Advice, Advisor
from tradeoffs.report.theme import lane_colours

GLANCE = (
    "ttft_intended_p95",
    "e2e_intended_p95",
    "goodput",
    "capacity",
    "tokens",
    "memory",
    "cold_start",
    "artifact",
    "cost",
)
"""Columns of the first table, after the primary quality metric."""

LATENCY_ROWS = (
    ("TTFT", "ttft"),
    ("TTFT from intended start", "ttft_intended"),
    ("TPOT", "tpot"),
    ("ITL", "itl"),
    ("E2E", "e2e"),
    ("E2E from intended start", "e2e_intended"),
    ("lateness of the client", "lateness"),
)


@dataclass(frozen=True, slots=True)
class View:
    """Everything a template needs."""

    report: ReportInput
    prices: Prices
    criteria: dict[str, Criterion]
    rankings: dict[str, Ranking]
    advice: list[Advice]
    summary: list[tuple[str, str]]
    """Sentences: stressed beginning, rest."""
    costs: dict[str, Cost]
    missing: list[str]

    @property
    def names(self) -> dict[str, str]:
        """Lane key → name."""
        return {lane.key: lane_name(lane) for lane in self.report.lanes}

    @property
    def glance(self) -> list[Criterion]:
        """The columns of the first table that any lane has a figure for."""
        keys = (f"quality_{self.report.primary_metric}", *GLANCE)
        return [self.criteria[key] for key in keys if key in self.rankings]

    @property
    def quality(self) -> list[Criterion]:
        """One criterion per quality metric."""
        return [criterion for key, criterion in self.criteria.items() if key.startswith("quality_")]

    @property
    def colours(self) -> dict[str, int]:
        """Lane key → number of its colour."""
        return lane_colours([(lane.key, lane.road) for lane in self.report.lanes])

    @property
    def road_count(self) -> str:
        """`three roads`."""
        count = len({lane.road for lane in self.report.lanes})
        words = {1: "one road", 2: "two roads", 3: "three roads", 4: "four roads"}
        return words.get(count, f"{count} roads")

    @property
    def load(self) -> LoadFigures | None:
        """The load of any lane; all had the same scenario."""
        return next((lane.load for lane in self.report.lanes if lane.load), None)

    def parity_words(self, lane: Lane) -> str:
        """Where a lane first left the golden answers, and whether rounding decided it."""
        if lane.parity is None or not lane.parity.differences:
            return ""
        ties = sum(difference.is_tie for difference in lane.parity.differences)
        first = min(lane.parity.differences, key=lambda difference: difference.position)
        gap = "" if first.gap_nats is None else f", logit gap {first.gap_nats:.2g}"
        return f"{ties} of {len(lane.parity.differences)} ties; earliest at token {first.position}{gap}"

    def grouped_outputs(self, sample: Sample) -> list[tuple[str, list[Lane]]]:
        """Each distinct answer with the lanes that gave it."""
        groups: dict[str, list[Lane]] = {}
        for lane in self.report.lanes:
            if lane.key in sample.outputs:
                groups.setdefault(sample.outputs[lane.key], []).append(lane)
        return list(groups.items())

    def is_best(self, criterion: Criterion, key: str) -> bool:
        """Whether the lane is best, or cannot be told from the best, where more than one has a figure."""
        ranking = self.rankings.get(criterion.key)
        return ranking is not None and len(ranking.order) > 1 and key in ranking.best

    def latency_rows(self, lane: Lane) -> list[tuple[str, Any]]:
        """Label and figures of each latency of a lane."""
        if lane.load is None:
            return []
        found = lane.load.latencies
        return [(label, found[key]) for label, key in LATENCY_ROWS if key in found and found[key].n]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document: the measurements, and what was computed from them."""
        return {
            "schema": "trivium.tradeoffs-report/v1",
            "summary": " ".join(f"{start} {rest}" for start, rest in self.summary),
            "recommendation": [asdict(answer) | {"verdict": answer.verdict} for answer in self.advice],
            "criteria": {
                key: {
                    "label": criterion.label,
                    "unit": criterion.unit,
                    "higher_is_better": criterion.higher_is_better,
                    "lanes": {
                        lane: asdict(figure) | {"shown": criterion.text(lane)}
                        for lane, figure in criterion.figures.items()
                    },
                    "best": list(self.rankings[key].best) if key in self.rankings else [],
                }
                for key, criterion in self.criteria.items()
            },
            "cost": {key: asdict(value) for key, value in self.costs.items()},
            "prices": self.prices.model_dump(),
            "not_measured": self.missing,
            "measurements": self.report.model_dump(mode="json"),
        }


def make_view(report: ReportInput, prices: Prices) -> View:
    """Compare the lanes and find the advice."""
    compared = criteria(report, prices)
    advisor = Advisor(report, compared)
    advice = advisor.advice()
    return View(
        report=report,
        prices=prices,
        criteria=compared,
        rankings={key: ranking for key, made in compared.items() if (ranking := rank(made)) is not None},
        advice=advice,
        summary=advisor.summary(advice),
        costs={lane.key: made for lane in report.lanes if (made := cost(lane, prices)) is not None},
        missing=[*report.not_measured, *_missing(report, prices)],
    )


def _missing(report: ReportInput, prices: Prices) -> list[str]:
    """What a reader might expect and does not get, from what the lanes lack."""
    lines = []
    for lane in report.lanes:
        name = lane_name(lane)
        lacks = [
            label
            for label, value in (
                ("quality", lane.quality),
                ("parity", lane.parity),
                ("load", lane.load),
                ("a capacity ladder", lane.curve),
                ("memory", lane.memory_bytes),
                ("cold start", lane.cold_start_seconds),
                ("artifact size", lane.artifact_bytes),
            )
            if not value
        ]
        if lacks:
            lines.append(f"{name}: no {', '.join(lacks)}.")
        if lane.load is not None and not lane.load.valid:
            reasons = "; ".join(lane.load.invalid_reasons)
            lines.append(f"{name}: the load run is not valid ({reasons}); its figures are not compared.")
        if capacity_is_lower_bound(lane):
            lines.append(f"{name}: the ladder ended before the lane did; its capacity is a lower bound.")
        if lane.simulated:
            lines.append(
                f"{name}: the {' and '.join(lane.simulated)} was simulated, so its latency is a model."
            )
        if lane.road not in prices.roads:
            lines.append(f"{name}: no price for the road {lane.road!r} in the price file.")
    lines.append("Energy was not metered: power in the cost is the price file's figure.")
    if report.machine.accelerator is None:
        lines.append("No GPU was used: on one, the server roads' throughput and cost change most.")
    return lines
