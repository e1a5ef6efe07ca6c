"""What passes through the core: bytes, headers, streams, retries, admission; and what is recorded of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from observability.events import sha256_hex
from services.gateway.errors import ConnectFailed, UpstreamBroke
from tests.fakes.upstream import ScriptedAnswer, stream, token, whole
from tests.unit.gateway.conftest import route

pytestmark = pytest.mark.unit

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
DONE = b"data: [DONE]\n\n"


async def test_body_passes_but_for_the_models_name(make_bench: Any) -> None:
    bench = make_bench(routes=[route(upstream_model="served-as")])
    body = b'{ "model": "m", "seed": 1.50, "messages": [ {"role":"user", "content":"\\u00e9"} ], "x": [1e2] }'
    await bench.client.post("/v1/chat/completions", content=body)
    target, _, sent = bench.upstream.sent[0]
    assert target.path == "/v1/chat/completions"
    assert json.loads(sent) == {**json.loads(body), "model": "served-as"}
    assert b'[ {"role":"user", "content":"\\u00e9"} ]' in sent
    assert b"1.50" in sent


async def test_repeated_key_reaches_the_server_once(make_bench: Any) -> None:
    bench = make_bench()
    await bench.client.post(
        "/v1/completions", content=b'{"model":"other","stream":true,"stream":false,"model":"m"}'
    )
    assert json.loads(bench.upstream.sent[0][2]) == {"model": "m", "stream": False}
    assert bench.upstream.sent[0][2].count(b"stream") == 1


async def test_hop_by_hop_headers_stay_on_their_hop(make_bench: Any) -> None:
    answer = whole()
    answer.headers += [
        (b"connection", b"x-private"),
        (b"x-private", b"1"),
        (b"x-kept", b"2"),
        (b"server", b"vllm"),
    ]
    bench = make_bench(lambda _: answer)
    headers = {"connection": "x-mine, close", "x-mine": "1", "te": "trailers", "accept-encoding": "br",
               "authorization": "Bearer t", "traceparent": "00-aa-bb-01"}  # fmt: skip
    response = await bench.chat(headers=headers)
    sent = dict(bench.upstream.sent[0][1])
    assert not {b"connection", b"x-mine", b"te", b"accept-encoding", b"host", b"content-length"} & set(sent)
    assert (sent[b"authorization"], sent[b"traceparent"]) == (b"Bearer t", b"00-aa-bb-01")
    assert not {"connection", "x-private", "server"} & set(response.headers)
    assert response.headers["x-kept"] == "2"


@pytest.mark.parametrize(
    ("given", "kept"), [("req-1.a:b_c", True), ("a b", False), ("x" * 129, False), ("", False)]
)
async def test_request_id_is_taken_only_where_harmless(make_bench: Any, given: str, kept: bool) -> None:
    bench = make_bench()
    response = await bench.chat(headers={"x-request-id": given})
    assert (response.headers["x-request-id"] == given) is kept
    assert dict(bench.upstream.sent[0][1])[b"x-request-id"].decode() == response.headers["x-request-id"]
    assert bench.events[0].request_id == response.headers["x-request-id"]


async def test_whole_answer_is_recorded(make_bench: Any) -> None:
    content = {
        "choices": [{"index": 0, "message": {"content": "good food"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    bench = make_bench(lambda _: whole(content), tenant="acme")
    response = await bench.chat(max_tokens=5, temperature=0.5)
    event = bench.events[0]
    assert response.json() == content
    assert (event.tenant, event.model, event.road, event.status, event.stream) == (
        "acme",
        "m",
        "onprem",
        200,
        False,
    )
    assert (event.prompt_tokens, event.completion_tokens, event.finish_reason) == (7, 3, "stop")
    assert (event.max_tokens, event.temperature, event.ttft_ms) == (5, 0.5, None)
    assert event.response_sha256 == sha256_hex(b"good food")
    assert event.prompt_sha256 == sha256_hex(b'[{"role":"user","content":"hi"}]')
    assert (event.prompt, event.response) == (None, None)
    assert event.response_bytes == len(response.content)
    assert event.e2e_ms >= event.queue_ms >= 0


async def test_text_is_stored_only_where_allowed(make_bench: Any) -> None:
    bench = make_bench(lambda _: stream(token("a"), token("b"), DONE), events={"store_text": True})
    await bench.chat(stream=True)
    assert bench.events[0].prompt == [{"role": "user", "content": "hi"}]
    assert bench.events[0].response == "ab"


async def test_stream_passes_byte_by_byte_and_is_counted(make_bench: Any) -> None:
    pieces = [token("a")[:10], token("a")[10:] + token("b"), DONE]
    bench = make_bench(lambda _: stream(*pieces))
    response = await bench.chat(stream=True)
    assert response.content == b"".join(pieces)
    event = bench.events[0]
    assert (event.completion_tokens, event.stream, event.error_code) == (2, True, None)
    assert 0 <= event.ttft_ms <= event.e2e_ms
    assert bench.metric("trivium_time_to_first_token_seconds_count", model="m", road="onprem") == 1
    assert bench.metric("trivium_completion_tokens_total", model="m", road="onprem") == 2


async def test_break_after_the_start_is_an_error_event_then_the_end(make_bench: Any) -> None:
    bench = make_bench(
        lambda _: stream(token("a"), UpstreamBroke("the model server broke off the connection"))
    )
    response = await bench.chat(stream=True)
    assert response.status_code == 200
    first, error, rest = response.text.split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "upstream_broke"
    assert (first + "\n\n", rest) == (token("a").decode(), "")
    assert (bench.events[0].status, bench.events[0].error_code) == (200, "upstream_broke")


async def test_silence_between_chunks_ends_the_stream(make_bench: Any) -> None:
    timeouts = {"between_chunks_seconds": 0.05}
    bench = make_bench(lambda _: stream(token("a"), 5.0, token("b")), [route(timeouts=timeouts)])
    response = await bench.chat(stream=True)
    assert "stopped in the middle" in response.text
    assert bench.upstream.given[0].closed


async def test_slow_but_steady_stream_outlives_the_total_limit(make_bench: Any) -> None:
    timeouts = {"total_seconds": 0.05, "between_chunks_seconds": 0.2, "first_token_seconds": 0.2}
    steps = [step for text in "abcdefgh" for step in (0.02, token(text))]
    bench = make_bench(lambda _: stream(*steps, DONE), [route(timeouts=timeouts)])
    assert (await bench.chat(stream=True)).content.endswith(DONE)


async def test_error_that_the_server_reports_in_its_stream_is_recorded(make_bench: Any) -> None:
    bench = make_bench(
        lambda _: stream(token("a"), b'data: {"error": {"message": "out of memory"}}\n\n', DONE)
    )
    await bench.chat(stream=True)
    assert bench.events[0].error_code == "upstream_stream_error"


async def test_refused_connection_is_tried_again_at_the_other_replica(make_bench: Any) -> None:
    routes = [route(url="http://dead:1"), route(url="http://live:1")]
    bench = make_bench(lambda target: ConnectFailed("x") if target.host == "dead" else whole(), routes)
    answers = [await bench.chat() for _ in range(20)]
    assert {response.status_code for response in answers} == {200}
    assert (
        bench.metric("trivium_upstream_errors_total", model="m", road="onprem", cause="upstream_unreachable")
        > 0
    )


async def test_retries_are_bounded(make_bench: Any) -> None:
    bench = make_bench(lambda _: ConnectFailed("x"), [route(connect_retries=2)])
    assert (await bench.chat()).status_code == 502
    assert len(bench.upstream.sent) == 3


async def test_sent_request_is_never_sent_again(make_bench: Any) -> None:
    bench = make_bench(lambda _: UpstreamBroke("reset"), [route(connect_retries=5)])
    assert (await bench.chat()).status_code == 502
    assert len(bench.upstream.sent) == 1


async def test_dead_server_opens_the_breaker_and_readiness_closes_it(make_bench: Any) -> None:
    alive = False
    settings = route(connect_retries=0, breaker={"failures": 2, "open_seconds": 60})
    bench = make_bench(lambda _: whole() if alive else ConnectFailed("x"), [settings])
    assert [(await bench.chat()).status_code for _ in range(3)] == [502, 502, 503]
    assert bench.metric("trivium_breaker_state", model="m", road="onprem", url="http://one:1") == 2
    refused = await bench.chat()
    assert int(refused.headers["retry-after"]) > 1
    alive = True
    bench.gateway.proxy.routes.backends[0].set_ready(True, "test")
    assert (await bench.chat()).status_code == 200
    assert bench.metric("trivium_breaker_state", model="m", road="onprem", url="http://one:1") == 0


async def test_upstreams_503_passes_and_does_not_open_the_breaker(make_bench: Any) -> None:
    bench = make_bench(lambda _: whole({"error": {}}, 503), [route(breaker={"failures": 1})])
    assert [(await bench.chat()).status_code for _ in range(3)] == [503, 503, 503]
    assert len(bench.upstream.sent) == 3


async def test_full_queue_is_429_and_long_wait_503(make_bench: Any) -> None:
    settings = route(max_running=1, max_waiting=1, queue_seconds=0.1)
    bench = make_bench(lambda _: ScriptedAnswer([0.3, b"{}"]), [settings])
    answers = await asyncio.gather(*(bench.chat() for _ in range(3)))
    assert sorted(response.status_code for response in answers) == [200, 429, 503]
    assert all("retry-after" in response.headers for response in answers if response.status_code != 200)


async def test_gateway_that_is_full_says_so(make_bench: Any) -> None:
    bench = make_bench(lambda _: ScriptedAnswer([0.1, b"{}"]), limits={"max_requests": 2})
    answers = await asyncio.gather(*(bench.chat() for _ in range(4)))
    assert sorted(response.status_code for response in answers) == [200, 200, 503, 503]


async def test_stopping_gateway_refuses_and_is_not_ready(make_bench: Any) -> None:
    bench = make_bench()
    bench.gateway.proxy.routes.backends[0].set_ready(True, "test")
    assert (await bench.client.get("/ready")).status_code == 200
    bench.gateway.stopping = True
    assert (await bench.client.get("/ready")).status_code == 503
    assert (await bench.chat()).status_code == 503
