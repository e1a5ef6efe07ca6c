"""The SLO file: complete, strict, and on the bounds of the histograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from common.errors import ConfigError
from observability.metrics import E2E_BUCKETS, TPOT_BUCKETS, TTFT_BUCKETS, Metrics
from observability.slo import SLO_FILE, load_slo

pytestmark = pytest.mark.unit

ROADS = ("onprem", "cloud", "edge", "another")


def changed(tmp_path: Path, path: str, value: Any) -> Path:
    content = yaml.safe_load(SLO_FILE.read_text())
    *parents, last = path.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[last] = value
    file = tmp_path / "slo.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.parametrize("road", ROADS)
def test_every_threshold_is_a_bucket_bound(road: str) -> None:
    slo = load_slo().for_road(road)
    for bounds, buckets, good in (
        (slo.ttft_seconds, TTFT_BUCKETS, slo.goodput.ttft_seconds),
        (slo.tpot_seconds, TPOT_BUCKETS, slo.goodput.tpot_seconds),
        (slo.e2e_seconds, E2E_BUCKETS, slo.goodput.e2e_seconds),
    ):
        assert {bounds.p95, bounds.p99, good} <= set(buckets)


def test_road_says_only_what_differs() -> None:
    slo = load_slo()
    assert slo.for_road("edge").availability != slo.default.availability
    assert slo.for_road("edge").tpot_seconds == slo.default.tpot_seconds
    assert slo.for_road("another") == slo.default


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("default.avilability", 1, "did you mean 'availability'"),
        ("default.availability", 1.5, "default.availability"),
        ("default.ttft_seconds", {"p95": 2, "p99": 1}, "p95"),
        ("roads.edge.ttft_seconds", {"p95": 1}, "p99"),
        ("schema_version", "v0", "schema_version"),
        ("window_days", 0, "window_days"),
    ],
)
def test_wrong_objective_is_named(tmp_path: Path, path: str, value: Any, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        load_slo(changed(tmp_path, path, value))


@pytest.mark.parametrize(
    ("ttft", "tpot", "e2e", "good"),
    [(0.1, 0.01, 1.0, True), (None, None, 1.0, True), (0.5, 0.05, 2.5, True), (0.51, 0.01, 1.0, False),
     (0.1, 0.06, 1.0, False), (0.1, 0.01, 2.6, False)],
)  # fmt: skip
def test_request_is_good_when_every_bound_holds(
    ttft: float | None, tpot: float | None, e2e: float, good: bool
) -> None:
    goodput = load_slo().default.goodput
    assert goodput.met_by(ttft_seconds=ttft, tpot_seconds=tpot, e2e_seconds=e2e) is good


def test_two_servers_in_one_process_do_not_share_metrics() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    first.requests.labels("m", "edge", "completions", "200").inc()
    assert b"trivium_requests_total{" in generate_latest(first.registry)
    assert b"trivium_requests_total{" not in generate_latest(second.registry)
