"""Every error, on every path, has the OpenAI shape and the status of its class."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.gateway.errors import ConnectFailed, ConnectTimeout, GatewayError, InternalError, UpstreamBroke
from tests.fakes.upstream import ScriptedAnswer, stream

pytestmark = pytest.mark.unit

CHAT = "/v1/chat/completions"
GOOD = {"model": "m", "messages": []}
TIGHT = {
    "connect_retries": 0,
    "queue_seconds": 0.05,
    "timeouts": {"total_seconds": 0.05, "first_token_seconds": 0.05},
}

Answer = Callable[[Any], Any]


def ok(_: Any) -> ScriptedAnswer:
    return ScriptedAnswer([b"{}"])


WRONG_PLACE = [
    ("no such path", "GET", "/nope", 404, "not_found"),
    ("another engine route", "POST", "/pause", 404, "not_found"),
    ("GET a completion", "GET", CHAT, 405, "method_not_allowed"),
    ("POST the models", "POST", "/v1/models", 405, "method_not_allowed"),
]

# name, body, what the model server does, status, code, param
CASES: list[tuple[str, Any, Answer, int, str, str | None]] = [
    ("not JSON", b"{", ok, 400, "invalid_value", None),
    ("not UTF-8", b'{"model": "\xff"}', ok, 400, "invalid_value", None),
    ("empty body", b"", ok, 400, "invalid_value", None),
    ("a list", b"[1]", ok, 400, "invalid_value", None),
    ("too deep", b'{"model":"m","x":' + b"[" * 5000, ok, 400, "invalid_value", None),
    ("no model", b"{}", ok, 400, "invalid_value", "model"),
    ("empty model", b'{"model":""}', ok, 400, "invalid_value", "model"),
    ("model a number", b'{"model":1}', ok, 400, "invalid_value", "model"),
    ("stream a string", b'{"model":"m","stream":"yes"}', ok, 400, "invalid_value", "stream"),
    ("max_tokens a string", b'{"model":"m","max_tokens":"9"}', ok, 400, "invalid_value", "max_tokens"),
    ("max_tokens 10^27", b'{"model":"m","max_tokens":%d}' % 10**27, ok, 400, "invalid_value", "max_tokens"),
    ("temperature a list", b'{"model":"m","temperature":[]}', ok, 400, "invalid_value", "temperature"),
    ("unknown model", {"model": "x"}, ok, 404, "model_not_found", "model"),
    ("unknown road", {"model": "m@moon"}, ok, 404, "model_not_found", "model"),
    ("too large", b" " * 2000, ok, 413, "request_too_large", None),
    ("refused", GOOD, lambda _: ConnectFailed("no"), 502, "upstream_unreachable", None),
    ("connect slow", GOOD, lambda _: ConnectTimeout("no"), 504, "upstream_connect_timeout", None),
    ("reset", GOOD, lambda _: UpstreamBroke("no"), 502, "upstream_broke", None),
    ("broken body", GOOD, lambda _: ScriptedAnswer([b"{", UpstreamBroke("no")]), 502, "upstream_broke", None),
    ("HTML failure", GOOD, lambda _: ScriptedAnswer([b"<html>"], 500), 502, "upstream_broke", None),
    ("answer too large", GOOD, lambda _: ScriptedAnswer([b"x" * 2000]), 502, "upstream_broke", None),
    ("empty stream", GOOD, lambda _: stream(), 502, "upstream_broke", None),
    ("slow answer", GOOD, lambda _: ScriptedAnswer([5.0]), 504, "upstream_timeout", None),
    ("slow first token", {**GOOD, "stream": True}, lambda _: stream(5.0), 504, "upstream_timeout", None),
    ("our own fault", GOOD, lambda _: RuntimeError("secret"), 500, "internal_error", None),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status", "code"), [c[1:] for c in WRONG_PLACE])
async def test_wrong_place_has_openai_shape(
    make_bench: Any, method: str, path: str, status: int, code: str
) -> None:
    response = await make_bench().client.request(method, path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


FIELDS = ("body", "answer", "status", "code", "param")


@pytest.mark.parametrize(FIELDS, [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_error_has_openai_shape(
    make_bench: Any, body: Any, answer: Answer, status: int, code: str, param: str | None
) -> None:
    limits = {"max_body_bytes": 1000 if status == 413 else 100_000, "max_answer_bytes": 1000}
    bench = make_bench(
        answer, [{"model": "m", "road": "onprem", "url": "http://one:1", **TIGHT}], limits=limits
    )
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await bench.client.post(CHAT, content=content)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert len(response.headers["x-request-id"]) == 32
    assert "secret" not in response.text
    assert [(event.status, event.error_code) for event in bench.events] == [(status, code)]


async def test_500_body_is_constant(make_bench: Any) -> None:
    bench = make_bench(lambda _: RuntimeError("secret"))
    response = await bench.chat()
    assert response.json()["error"]["message"] == str(InternalError())


async def test_method_not_allowed_says_what_is(make_bench: Any) -> None:
    response = await make_bench().client.get(CHAT)
    assert response.headers["allow"] == "POST"


async def test_upstreams_own_error_passes_unchanged(make_bench: Any) -> None:
    body = (
        b'{"error": {"message": "max_tokens is too large", "type": "x", "param": "max_tokens", "code": 400}}'
    )
    bench = make_bench(lambda _: ScriptedAnswer([body], 400))
    response = await bench.chat(max_tokens=10**9)
    assert (response.status_code, response.content) == (400, body)
    assert bench.events[0].error_code == "upstream_status_400"


async def test_body_is_refused_before_it_is_read(make_bench: Any) -> None:
    reads: list[int] = []

    async def body() -> Any:
        for number in range(3):
            reads.append(number)
            yield b"x"

    bench = make_bench(limits={"max_body_bytes": 10})
    headers = {"content-length": "20000000"}
    response = await bench.client.post(CHAT, headers=headers, content=body())
    assert (response.status_code, reads) == (413, [])


async def test_body_that_never_ends_is_cut(make_bench: Any) -> None:
    async def dripping() -> Any:
        while True:
            await asyncio.sleep(0.01)
            yield b" "

    bench = make_bench(limits={"body_seconds": 0.05})
    response = await bench.client.post(CHAT, content=dripping())
    assert (response.status_code, response.json()["error"]["code"]) == (408, "request_timeout")


def test_every_error_class_has_its_own_code_or_inherits_it_on_purpose() -> None:
    def below(cls: type[GatewayError]) -> list[type[GatewayError]]:
        return [cls, *(leaf for child in cls.__subclasses__() for leaf in below(child))]

    for cls in below(GatewayError):
        assert 400 <= cls.status <= 504
        assert cls.__doc__
