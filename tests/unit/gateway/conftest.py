"""A gateway without sockets: in-process client in front, scripted model servers behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from observability.events import RequestEvent
from services.gateway.app import GatewayApp
from services.gateway.config import GatewayConfig
from services.gateway.core import Gateway
from services.gateway.upstream import Target, UpstreamAnswer
from tests.fakes.upstream import FakeUpstream, whole


class Bench:
    """One gateway, its client, its upstream and the events that it wrote."""

    def __init__(
        self, settings: dict[str, Any], answer: Callable[[Target], UpstreamAnswer | Exception]
    ) -> None:
        self.upstream = FakeUpstream(answer)
        self.events: list[RequestEvent] = []
        config = GatewayConfig.from_dict(settings, "test")
        self.gateway = Gateway(config, self.upstream, self.events.append)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(GatewayApp(self.gateway)), base_url="http://gateway"
        )

    async def chat(self, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.gateway.metrics.registry.get_sample_value(name, labels)


def route(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "road": "onprem", "url": "http://one:1", **fields}


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench() -> MakeBench:
    def make(
        answer: Callable[[Target], UpstreamAnswer | Exception] = lambda _: whole(),
        routes: list[dict[str, Any]] | None = None,
        **settings: Any,
    ) -> Bench:
        return Bench({"routes": routes or [route()], **settings}, answer)

    return make
