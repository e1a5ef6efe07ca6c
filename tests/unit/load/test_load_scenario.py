"""Scenario files: the shipped ones are right, wrong ones say why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigError
from tests.load.errors import LoadError
from tests.load.plan import make_plan
from tests.load.scenario import Scenario, base_url
from tests.load.slo import resolve

pytestmark = pytest.mark.unit

SHIPPED = sorted((Path(__file__).parents[2] / "load" / "scenarios").glob("*.yaml"))
GOOD: dict[str, Any] = {
    "name": "test",
    "arrivals": {"process": "poisson", "stages": [{"rate": 1, "seconds": 1}]},
    "slo": {"ttft_ms": 100},
}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_can_be_planned(path: Path) -> None:
    scenario = Scenario.from_yaml(path)
    made = make_plan(scenario, path.parent, url="http://localhost:1", model="m", headers={}, inputs=None)
    assert made.requests
    assert resolve(scenario.slo, path.parent, None).goodput > 0


def test_the_five_scenarios_are_there() -> None:
    assert {path.stem for path in SHIPPED} == {"smoke", "slo", "curve", "burst", "replay"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"warmup": 3}, "did you mean 'warmup_seconds'"),
        ({"arrivals": {"process": "random"}}, "arrivals"),
        ({"arrivals": {"process": "constant", "stages": []}}, "stages"),
        ({"arrivals": {"process": "constant", "stages": [{"rate": 0, "seconds": 1}]}}, "rate"),
        ({"slo": {"goodput": 0.9}}, "ttft_ms, tpot_ms, e2e_ms"),
        ({"stream": False}, "stream: true"),
        ({"max_in_flight": 10_000}, "max_in_flight"),
        ({"arrivals": {"process": "constant", "stages": [{"rate": 1, "seconds": 3600}]}}, "more than 3600 s"),
    ],
)
def test_wrong_settings_name_the_key(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Scenario.from_dict({**GOOD, **changes}, "test")


def test_slo_by_reference_takes_the_road(tmp_path: Path) -> None:
    reference = {"file": str(Path(__file__).parents[3] / "observability" / "slo.yaml")}
    scenario = Scenario.from_dict({**GOOD, "slo": reference}, "test")
    default, edge = (resolve(scenario.slo, tmp_path, road) for road in (None, "edge"))
    assert edge.source.endswith("road edge")
    assert default.ttft is not None
    assert edge.ttft is not None
    assert edge.ttft < default.ttft
    assert set(edge.percentiles) == {"ttft_intended", "tpot", "e2e_intended"}


def test_only_this_machine_unless_allowed() -> None:
    assert base_url("http://127.0.0.1:80/v1/", allow_remote=False) == "http://127.0.0.1:80"
    assert base_url("http://[::1]:80", allow_remote=False) == "http://[::1]:80"
    assert base_url("https://api.example.com/v1", allow_remote=True) == "https://api.example.com"
    with pytest.raises(LoadError, match="--allow-remote"):
        base_url("http://10.0.0.7:80", allow_remote=False)


@pytest.mark.parametrize("url", ["", "localhost:80", "ftp://localhost", "http://", "http://localhost:99999"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(LoadError, match="expected http://HOST:PORT"):
        base_url(url, allow_remote=False)


def test_a_replay_has_no_rate() -> None:
    replay = {**GOOD, "arrivals": {"process": "replay", "events": "x.jsonl"}}
    with pytest.raises(LoadError, match="its own rate"):
        Scenario.from_dict(replay, "test").with_rate(3, 5)
