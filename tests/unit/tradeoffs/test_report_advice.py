"""The recommendation follows the figures: other figures, other advice."""

from __future__ import annotations

import pytest

from tests.fakes.report_input import latency, load, quality, report_input
from tradeoffs.report.model import Lane, ReportInput
from tradeoffs.report.prices import load_prices
from tradeoffs.report.recommend import Advice
from tradeoffs.report.view import View, make_view

pytestmark = pytest.mark.unit


def view(report: ReportInput) -> View:
    return make_view(report, load_prices())


def advice(report: ReportInput) -> dict[str, Advice]:
    return {answer.need: answer for answer in view(report).advice}


def change(report: ReportInput, key: str, **values: object) -> ReportInput:
    lanes = [lane.model_copy(update=values) if lane.key == key else lane for lane in report.lanes]
    return report.model_copy(update={"lanes": lanes})


def only(report: ReportInput, *keys: str) -> ReportInput:
    return report.model_copy(
        update={"lanes": [lane for lane in report.lanes if lane.key in keys], "samples": []}
    )


def test_every_factor_is_named() -> None:
    needs = " ".join(advice(report_input())).lower()
    for factor in ("latency", "privacy", "cost", "scale", "connectivity", "upkeep", "quality"):
        assert factor in needs


def test_the_fastest_lane_wins_latency_whichever_it_is() -> None:
    report = report_input()
    assert advice(report)["Latency, first token"].winners == ("edge int4",)
    faster = change(report, "onprem/fp32", load=load(0.001, 0.0001))
    answer = advice(faster)["Latency, first token"]
    assert answer.winners == ("on-prem fp32",)
    assert "n=120" in answer.figure


def test_overlapping_intervals_are_called_a_tie() -> None:
    answer = advice(report_input())["Quality"]
    assert answer.verdict == "no difference between 4 lanes"
    worse = change(report_input(), "edge/int4", quality=quality(50.0, 9.0))
    assert set(advice(worse)["Quality"].winners) == {
        "on-prem fp32", "cloud fp32 (simulated network)", "edge fp32",
    }  # fmt: skip


def test_a_small_sample_is_compared_by_its_median() -> None:
    few = latency(0.01, n=12).model_copy(update={"p95_ci95": (0.012, None)})
    measured = load(0.007, 0.0011)
    small = measured.model_copy(update={"latencies": measured.latencies | {"ttft_intended": few}})
    answer = advice(change(report_input(), "edge/int4", load=small))["Latency, first token"]
    assert "TTFT p50" in answer.figure
    assert "too small" in answer.note


def test_the_simulated_network_is_stated_wherever_it_speaks() -> None:
    made = view(report_input())
    assert any("network between cloud and its users" in rest for _, rest in made.summary)
    assert any("was simulated" in line for line in made.missing)
    connectivity = advice(report_input())["Connectivity"]
    assert "the simulated network to the cloud adds 53 ms" in connectivity.against
    real = [lane.model_copy(update={"simulated": []}) for lane in report_input().lanes]
    text = str(view(report_input().model_copy(update={"lanes": real})).to_dict())
    assert "the network to the cloud adds 53 ms" in text
    assert "simulated network" not in text


def test_a_road_without_a_valid_figure_leaves_the_need_open() -> None:
    """Being faster than nobody is no win."""
    report = change(report_input(), "cloud/fp32", load=load(0.089, 0.0064, valid=False))
    answer = advice(report)["Latency, first token"]
    assert answer.verdict.startswith("not decided; edge int4")
    assert "Not compared, for want of a valid figure: cloud fp32." in answer.note
    summary = dict(view(report).summary)
    assert "latency" not in summary["Take edge"]
    assert "latency of the first token" in summary["Not decided:"]


def test_a_sister_format_without_a_figure_is_named_but_decides_nothing() -> None:
    answer = advice(change(report_input(), "edge/fp32", load=None))["Latency, first token"]
    assert answer.winners == ("edge int4",)
    assert answer.decided
    assert "edge fp32" in answer.note


def test_a_description_has_no_best() -> None:
    words = quality(69.4, 1.9)[0].model_copy(
        update={"key": "length", "label": "length", "higher_is_better": None}
    )
    made = view(change(report_input(), "edge/int4", quality=[words]))
    assert "quality_length" not in made.rankings
    assert made.criteria["quality_length"].arrow == ""


def test_what_a_lane_lacks_is_said() -> None:
    report = report_input()
    bare = report.model_copy(update={"lanes": [Lane(road="edge", format="int4")], "samples": []})
    made = view(bare)
    assert (
        "edge int4: no quality, parity, load, a capacity ladder, memory, cold start, artifact size."
        in made.missing
    )
    assert {answer.verdict for answer in made.advice if answer.basis == "measured"} == {"not measured"}


def test_without_the_edge_privacy_goes_to_your_own_room() -> None:
    assert advice(only(report_input(), "onprem/fp32", "cloud/fp32"))["Privacy"].winners == ("on-prem",)


def test_summary_compares_with_another_road_not_with_the_sister_format() -> None:
    edge = dict(view(report_input()).summary)["Take edge"]
    assert "latency of the first token (12.8 ms against 59.2 ms)" in edge
