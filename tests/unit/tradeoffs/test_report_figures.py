"""Comparing lanes: ties, validity, cost arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError
from common.pages.figures import Criterion, Figure, pareto_front, rank, same
from tests.fakes.report_input import lane, load, report_input
from tradeoffs.report.figures import criteria
from tradeoffs.report.model import ReportInput
from tradeoffs.report.prices import HOURS_PER_MONTH, HOURS_PER_YEAR, best_sustained, cost, load_prices

pytestmark = pytest.mark.unit


def criterion(figures: dict[str, Figure], *, higher: bool = False) -> Criterion:
    return Criterion("test", "test", "ms", 1, 1, higher, figures)


def with_lanes(**changes: object) -> ReportInput:
    report = report_input()
    return report.model_copy(update={"lanes": [made.model_copy(update=changes) for made in report.lanes]})


@pytest.mark.parametrize(
    ("first", "second", "tie"),
    [
        (Figure(10, 9, (9, 11)), Figure(12, 9, (10.5, 14)), True),
        (Figure(10, 9, (9, 11)), Figure(14, 9, (12, 16)), False),
        (Figure(10, 9, (9, None)), Figure(14, 9, (12, 16)), True),
        (Figure(10, 9, (9, 11)), Figure(10.5), True),
        (Figure(100), Figure(104), True),
        (Figure(100), Figure(106), False),
        (Figure(0), Figure(0), True),
    ],
)
def test_what_is_a_tie(first: Figure, second: Figure, tie: bool) -> None:
    assert same(first, second) is tie
    assert same(second, first) is tie


def test_the_best_and_those_that_cannot_be_told_from_it() -> None:
    figures = {"a": Figure(30, 9, (28, 33)), "b": Figure(10, 9, (9, 12)), "c": Figure(11, 9, (10, 13))}
    ranking = rank(criterion(figures))
    assert ranking is not None
    assert ranking.order == ("b", "c", "a")
    assert ranking.best == ("b", "c")
    ranking = rank(criterion({"a": Figure(30), "b": Figure(10)}, higher=True))
    assert ranking is not None
    assert ranking.best == ("a",)
    assert rank(criterion({})) is None


def test_a_run_that_is_not_valid_does_not_count() -> None:
    report = report_input()
    broken = report.lanes[3].model_copy(update={"load": load(0.001, 0.001, valid=False)})
    report = report.model_copy(update={"lanes": [*report.lanes[:3], broken]})
    compared = criteria(report, load_prices())
    assert set(compared["ttft_intended_p95"].figures) == {"onprem/fp32", "cloud/fp32", "edge/fp32"}


def test_a_ladder_without_an_end_gives_a_lower_bound() -> None:
    report = with_lanes(curve=report_input().lanes[0].curve[:3])
    capacity = criteria(report, load_prices())["capacity"]
    assert capacity.figures["onprem/fp32"].at_least
    assert capacity.text("onprem/fp32").startswith("≥ ")


def test_a_ladder_that_the_client_ended_gives_a_lower_bound_too() -> None:
    points = report_input().lanes[0].curve
    unsound = points[3].model_copy(update={"valid": False, "slo_attained": False})
    capacity = criteria(with_lanes(curve=[*points[:3], unsound]), load_prices())["capacity"]
    assert capacity.figures["onprem/fp32"].at_least
    failed = points[3].model_copy(update={"slo_attained": False})
    capacity = criteria(with_lanes(curve=[*points[:3], failed]), load_prices())["capacity"]
    assert not capacity.figures["onprem/fp32"].at_least


def test_cost_is_the_arithmetic_that_it_shows() -> None:
    made, prices = report_input().lanes[0], load_prices()
    price = prices.roads["onprem"]
    result = cost(made, prices)
    point = best_sustained(made)
    assert result is not None
    assert point is not None
    hourly = (
        price.purchase / price.lifetime_years / HOURS_PER_YEAR
        + price.power_watts / 1000 * prices.electricity_per_kwh
        + price.upkeep_hours_per_month / price.upkeep_shared_by * prices.wage_per_hour / HOURS_PER_MONTH
    )
    tokens = point.output_tokens_per_second * 3600 * price.utilisation * price.relative_speed
    assert result.per_hour == pytest.approx(hourly)
    assert result.per_million == pytest.approx(hourly / tokens * 1e6)
    assert f"{result.per_million:.4f}" in result.steps[-1]


def test_cost_without_a_ladder_says_what_it_stands_on() -> None:
    prices = load_prices()
    result = cost(lane("edge", "int4", load=load(0.01, 0.001)), prices)
    assert result is not None
    assert any("scenario slo, not the highest rate" in step for step in result.steps)
    assert cost(lane("edge", "int4"), prices) is None
    assert cost(lane("moon", "int4", load=load(0.01, 0.001)), prices) is None


def test_a_misspelt_price_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(Path("tradeoffs/prices.yaml").read_text().replace("power_watts", "power_wats"))
    with pytest.raises(ConfigError, match="did you mean 'power_watts'"):
        load_prices(path)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_pareto_front_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    x = criterion({f"l{i}": Figure(p[0]) for i, p in enumerate(points)})
    y = criterion({f"l{i}": Figure(p[1]) for i, p in enumerate(points)}, higher=True)
    front = pareto_front(x, y, list(x.figures))
    assert front
    for number, (cost_, quality_) in enumerate(points):
        beaten = any(c <= cost_ and q >= quality_ and (c, q) != (cost_, quality_) for c, q in points)
        assert (f"l{number}" in front) is not beaten
