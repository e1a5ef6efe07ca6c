"""One tiny bundle and one server of each engine for all tests here: each takes its time to start.

The cloud road is vLLM behind the simulated network; the on-prem road is Ray Serve.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from roads import Road, RoadSpec, open_road
from tests.fixtures.tiny_bundle import TinyBundle, make_tiny_bundle

END_SECONDS = 20.0


@dataclass(frozen=True)
class Served:
    """A road that is up, and what it serves."""

    name: str
    road: Road
    bundle: TinyBundle
    log: Path

    @property
    def url(self) -> str:
        return self.road.base_url


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> TinyBundle:
    """A signed bundle of a random model."""
    return make_tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def cloud(tiny_bundle: TinyBundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """vLLM's server behind the simulated network."""
    yield from _served("cloud", tiny_bundle, tmp_path_factory.mktemp("cloud"))


@pytest.fixture(scope="session")
def onprem(tiny_bundle: TinyBundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """vLLM on Ray Serve."""
    yield from _served("onprem", tiny_bundle, tmp_path_factory.mktemp("onprem"))


@pytest.fixture(params=["cloud", "onprem"])
def served(request: pytest.FixtureRequest) -> Served:
    """Each road in turn."""
    road: Served = request.getfixturevalue(request.param)
    return road


def _served(name: str, bundle: TinyBundle, logs: Path) -> Iterator[Served]:
    """Open a road; when the tests are done, close it and look for processes left behind."""
    before = _children()
    with open_road(RoadSpec(name, "fp32", bundle.public_key), bundle.path, log_dir=logs) as road:
        started = _children() - before
        yield Served(name, road, bundle, logs / f"{name}.log")
        started |= _children() - before
    deadline = time.monotonic() + END_SECONDS
    while (left := [process for process in started if process.is_running()]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, f"{name} left processes behind: {left}"


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))
