"""From records to figures: goodput over everything offered, formulas, and the verdict on the client."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load.console import table
from tests.load.records import RequestRecord
from tests.load.scenario import Limits, Scenario
from tests.load.slo import Objective
from tests.load.summary import summarise

pytestmark = pytest.mark.unit

SCENARIO = Scenario.from_dict(
    {
        "name": "test",
        "arrivals": {"process": "constant", "stages": [{"rate": 1, "seconds": 9}]},
        "slo": {"e2e_ms": 1000},
    },
    "test",
)
OBJECTIVE = Objective("test", ttft=0.2, tpot=0.05, e2e=1.0, goodput=0.9, percentiles={})
CALM = {"cpu_seconds": 0.1, "wall_seconds": 10.0, "lags": [0.001] * 100, "cores": 2, "priority": "ordinary"}


def record(index: int = 0, *, late: float = 0.0, ttft: float = 0.1, tokens: int = 11, gap: float = 0.01,
           error: str | None = None, warmup: bool = False) -> RequestRecord:  # fmt: skip
    start = float(index)
    times = [start + late + ttft + gap * number for number in range(tokens)]
    made = RequestRecord(index, start, 0, warmup, error=error, output_tokens=tokens, token_source="usage")
    if error == "dropped":
        return made
    made.sent_at, made.first_token_at, made.last_token_at = start + late, times[0], times[-1]
    made.finished_at, made.chunk_times = times[-1], times
    return made


def result(records: list[RequestRecord], client: dict[str, Any] = CALM, **limits: float) -> dict[str, Any]:
    scenario = SCENARIO.model_copy(update={"limits": Limits(**limits)})
    return summarise(records, [client], scenario, OBJECTIVE) | {"distinct_inputs": 1}


def test_figures_follow_their_formulas() -> None:
    one = record(late=0.03, ttft=0.1, tokens=11, gap=0.02)
    metrics = result([one])["metrics"]
    assert metrics["ttft"]["p50"] == pytest.approx(0.1)
    assert metrics["ttft_intended"]["p50"] == pytest.approx(0.13)
    assert metrics["tpot"]["p50"] == pytest.approx(0.2 / 10)
    assert metrics["e2e"]["p50"] == pytest.approx(0.3)
    assert metrics["e2e_intended"]["p50"] == pytest.approx(0.33)
    assert metrics["itl"]["n"] == 10


def test_a_late_client_cannot_make_a_request_good() -> None:
    late = record(late=0.15, ttft=0.1)
    assert result([late], lateness_p99_ms=1000)["goodput"]["share"] == 0


@given(st.lists(st.sampled_from(["good", "slow", "failed", "dropped"]), min_size=1, max_size=60))
def test_goodput_counts_every_offered_request(kinds: list[str]) -> None:
    changes: dict[str, dict[str, Any]] = {
        "good": {}, "slow": {"ttft": 0.3}, "failed": {"error": "http_503"}, "dropped": {"error": "dropped"},
    }  # fmt: skip
    figures = result([record(index, **changes[kind]) for index, kind in enumerate(kinds)])
    assert figures["goodput"]["share"] == kinds.count("good") / len(kinds)
    assert figures["goodput"]["n"] == figures["offered"] == len(kinds)
    failures = kinds.count("failed") + kinds.count("dropped")
    assert figures["errors"]["share"] == pytest.approx(failures / len(kinds))
    assert figures["metrics"]["ttft"]["n"] == len(kinds) - failures


def test_throughput_is_what_was_delivered_while_requests_were_due() -> None:
    """Neither the drain nor a time-out at the end stretches the time that is divided by."""
    records = [record(index) for index in range(11)]
    records[10].finished_at = 40.0
    throughput = result([*records, record(3, error="timeout")])["throughput"]
    assert throughput["seconds"] == 10
    assert throughput["requests_per_second"] == 1.0
    assert throughput["output_tokens"] == 110


def test_warm_up_is_left_out() -> None:
    figures = result([record(0, warmup=True, ttft=9), record(1)])
    assert (figures["offered"], figures["warmup_requests"], figures["goodput"]["share"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("records", "client", "says"),
    [
        ([record(late=0.2)], CALM, "sent late"),
        ([record()], CALM | {"lags": [0.2] * 10}, "loop ran late"),
        ([record()], CALM | {"cpu_seconds": 9.5}, "of one core"),
        ([record()], CALM | {"cpu_seconds": 19.0}, "of the machine"),
        ([record(), record(1, error="timeout")], CALM, "errors: 50.0%"),
    ],
)
def test_invalid_when_the_client_or_the_errors_decide(
    records: list[RequestRecord], client: dict[str, Any], says: str
) -> None:
    verdict = result(records, client)["verdict"]
    assert not verdict["valid"]
    assert says in "; ".join(verdict["reasons"])


def test_a_calm_run_is_valid_and_the_table_says_so() -> None:
    figures = result([record(index) for index in range(20)])
    assert figures["verdict"]["valid"]
    assert figures["verdict"]["slo_attained"]
    text = table(figures)
    assert "verdict     valid" in text
    assert "first non-empty token − actual send" in text, "formulas stand beside the names"


def test_everything_dropped_still_makes_a_table() -> None:
    figures = result([record(index, error="dropped") for index in range(3)])
    assert figures["goodput"]["share"] == 0
    assert "NOT VALID" in table(figures)


def test_percentile_bounds_of_the_slo_file_count() -> None:
    bounds = {"ttft_intended": {"p95": 0.05, "p99": 0.5}}
    objective = Objective("file", ttft=1.0, tpot=None, e2e=2.0, goodput=0.9, percentiles=bounds)
    verdict = summarise([record()], [CALM], SCENARIO, objective)["verdict"]
    assert verdict["slo_missed"] == ["ttft_intended p95 100.0 ms is above 50 ms"]
