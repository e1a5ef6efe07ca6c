"""Which model server gets a request: model, road, weight, readiness, breaker."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from services.gateway.breaker import Breaker
from services.gateway.health import check
from tests.fakes.upstream import ScriptedAnswer, whole
from tests.unit.gateway.conftest import route

pytestmark = pytest.mark.unit

DIGEST = "sha256:" + "a" * 64
ROADS = [
    route(url="http://onprem:1", bundle_digest=DIGEST),
    route(url="http://edge:1", road="edge"),
    route(url="http://other:1", model="org/name", road="cloud"),
]


@pytest.mark.parametrize(
    ("model", "header", "host"),
    [
        ("m", None, "onprem"),
        ("m", "edge", "edge"),
        ("m@edge", None, "edge"),
        ("m@edge", "edge", "edge"),
        ("org/name", None, "other"),
    ],
)
async def test_road_comes_from_header_suffix_or_default(
    make_bench: Any, model: str, header: str | None, host: str
) -> None:
    bench = make_bench(routes=ROADS)
    response = await bench.chat(model=model, headers={"x-trivium-road": header} if header else {})
    assert bench.upstream.sent[0][0].host == host
    assert response.headers["x-trivium-road"] == bench.events[0].road


async def test_bundle_is_named_where_known(make_bench: Any) -> None:
    bench = make_bench(routes=ROADS)
    assert (await bench.chat()).headers["x-trivium-bundle"] == DIGEST
    assert "x-trivium-bundle" not in (await bench.chat(model="m@edge")).headers


async def test_two_different_roads_in_one_request_are_refused(make_bench: Any) -> None:
    bench = make_bench(routes=ROADS)
    response = await bench.chat(model="m@edge", headers={"x-trivium-road": "onprem"})
    assert response.status_code == 400


async def test_default_flag_wins_over_order(make_bench: Any) -> None:
    bench = make_bench(routes=[ROADS[0], {**ROADS[1], "default": True}])
    assert (await bench.chat()).headers["x-trivium-road"] == "edge"


async def test_replicas_share_by_weight(make_bench: Any) -> None:
    bench = make_bench(routes=[route(url="http://a:1", weight=3), route(url="http://b:1", weight=1)])
    for _ in range(200):
        await bench.chat()
    hosts = Counter(target.host for target, _, _ in bench.upstream.sent)
    assert 110 < hosts["a"] < 190


async def test_models_are_the_union_with_their_roads(make_bench: Any) -> None:
    bench = make_bench(routes=ROADS)
    page = (await bench.client.get("/v1/models")).json()
    assert page["object"] == "list"
    roads = {
        model["id"]: [(road["road"], road["default"]) for road in model["roads"]] for model in page["data"]
    }
    assert roads == {"m": [("onprem", True), ("edge", False)], "org/name": [("cloud", True)]}


async def test_server_that_is_not_ready_gets_nothing(make_bench: Any) -> None:
    bench = make_bench()
    bench.gateway.proxy.routes.backends[0].set_ready(False, "test")
    response = await bench.chat()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "route_unavailable")
    assert bench.upstream.sent == []
    assert (await bench.client.get("/ready")).status_code == 503


@pytest.mark.parametrize(
    ("answer", "digest", "ready"),
    [
        (whole({"bundle_digest": DIGEST}), DIGEST, True),
        (whole({"bundle_digest": "sha256:other"}), DIGEST, False),
        (whole({"bundle_digest": "sha256:other"}), None, True),
        (ScriptedAnswer([b"not json"]), None, True),
        (whole({}, 503), None, False),
        (whole({}, 404), None, True),
    ],
)
async def test_ready_page_decides(
    make_bench: Any, answer: ScriptedAnswer, digest: str | None, ready: bool
) -> None:
    bench = make_bench(lambda _: answer, [route(bundle_digest=digest, ready_path="/healthz")])
    backend = bench.gateway.proxy.routes.backends[0]
    await check(backend, bench.upstream)
    assert backend.ready is ready
    assert bench.upstream.sent[0][0].path == "/healthz"


def test_breaker_opens_probes_once_and_closes() -> None:
    now = [0.0]
    breaker = Breaker(failures=2, open_seconds=10, clock=lambda: now[0])
    for _ in range(2):
        assert breaker.acquire()
        breaker.failure()
    assert (breaker.state, breaker.acquire(), breaker.retry_after_seconds()) == ("open", False, 10)
    now[0] = 10.0
    assert [breaker.acquire(), breaker.acquire()] == [True, False]
    breaker.failure()
    assert not breaker.allows
    now[0] = 20.0
    assert breaker.acquire()
    breaker.success()
    assert breaker.state == "closed"


def test_abandoned_probe_leaves_room_for_the_next() -> None:
    breaker = Breaker(failures=1, open_seconds=0)
    breaker.acquire()
    breaker.failure()
    assert breaker.acquire()
    breaker.abandon()
    assert breaker.acquire()


def test_success_between_failures_keeps_the_breaker_closed() -> None:
    breaker = Breaker(failures=2, open_seconds=10)
    for outcome in itertools.islice(itertools.cycle([breaker.failure, breaker.success]), 10):
        assert breaker.acquire()
        outcome()
    assert breaker.state == "closed"
