"""The HTTP API over a model in memory: shapes of answers and streams, and every kind of bad request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from edge.app import MAX_BODY_BYTES, EdgeApp
from edge.chat import ChatTemplate
from edge.generation import Generation
from edge.metrics import EdgeMetrics
from edge.openai import ModelFacts
from edge.sampling import SamplingParams
from edge.scheduler import Limits, Scheduler
from edge.service import EdgeService
from tests.unit.edge.edge_fakes import VOCABULARY, CountingEngine
from tests.unit.edge.edge_text import byte_codec

pytestmark = pytest.mark.unit

TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "{{ m.content }}{% endfor %}"
)
CHAT = "/v1/chat/completions"
PLAIN = "/v1/completions"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeApp]:
    codec = byte_codec(tmp_path_factory.mktemp("tokenizer"))
    engine = CountingEngine()
    metrics = EdgeMetrics("counter")
    scheduler = Scheduler(engine, [CountingEngine.END], metrics, Limits())
    scheduler.start()
    app = EdgeApp()
    app.service = EdgeService(
        facts=ModelFacts("counter", engine.context_length, VOCABULARY), bundle_digest="sha256:00",
        variant="int4", codec=codec, template=ChatTemplate(TEMPLATE, {}), scheduler=scheduler,
        metrics=metrics, request_seconds=30,
    )  # fmt: skip
    yield app
    scheduler.stop()


@pytest.fixture(scope="module")
def client(app: EdgeApp) -> TestClient:
    return TestClient(app.asgi, raise_server_exceptions=False)


def body(**values: Any) -> dict[str, Any]:
    return {"model": "counter", "prompt": [3, 4, 5], "max_tokens": 4, "temperature": 0, **values}


def events(text: str) -> list[dict[str, Any]]:
    parts = text.split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-2]]


def test_a_completion_with_tokens_logprobs_and_usage(client: TestClient) -> None:
    answer = client.post(PLAIN, json=body(return_token_ids=True, logprobs=2)).json()
    choice = answer["choices"][0]
    assert choice["token_ids"] == [6, 7, 8, 9]
    assert choice["prompt_token_ids"] == [3, 4, 5]
    assert choice["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    logprobs = choice["logprobs"]
    assert logprobs["tokens"] == list(choice["text"])
    assert logprobs["text_offset"] == [0, 1, 2, 3]
    assert all(len(top) == 2 for top in logprobs["top_logprobs"])


def test_a_chat_answer_renders_the_template(client: TestClient) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "$"}, {"type": "text", "text": "%"}]}]
    request = {"model": "counter", "messages": messages, "max_completion_tokens": 3, "temperature": 0}
    answer = client.post(CHAT, json={**request, "logprobs": True, "top_logprobs": 1}).json()
    assert answer["object"] == "chat.completion"
    choice = answer["choices"][0]
    assert choice["message"]["content"] == "&'("
    assert [entry["token"] for entry in choice["logprobs"]["content"]] == list("&'(")
    assert choice["logprobs"]["content"][0]["bytes"] == [ord("&")]


def test_a_stream_says_the_same_as_a_whole_answer(client: TestClient) -> None:
    whole = client.post(PLAIN, json=body(max_tokens=30, return_token_ids=True)).json()["choices"][0]
    streamed = client.post(
        PLAIN,
        json=body(max_tokens=30, return_token_ids=True, stream=True, stream_options={"include_usage": True}),
    )
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *chunks, usage = events(streamed.text)
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 30
    parts = [chunk["choices"][0] for chunk in chunks]
    assert "".join(part["text"] for part in parts) == whole["text"]
    assert [token for part in parts for token in part["token_ids"]] == whole["token_ids"]
    assert [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["length"]


def test_without_a_limit_the_answer_ends_by_itself_or_fills_the_context(client: TestClient) -> None:
    request = body(return_token_ids=True)
    del request["max_tokens"]
    ended = client.post(PLAIN, json=request).json()["choices"][0]
    assert ended["finish_reason"] == "stop"
    assert ended["token_ids"][-1] == CountingEngine.END
    full = client.post(PLAIN, json={**request, "ignore_eos": True}).json()
    assert full["usage"]["total_tokens"] == 100
    assert full["choices"][0]["finish_reason"] == "length"


def test_a_stop_string_is_not_part_of_the_answer(client: TestClient) -> None:
    text = client.post(PLAIN, json=body(max_tokens=10)).json()["choices"][0]["text"]
    for stream in (False, True):
        answer = client.post(PLAIN, json=body(max_tokens=10, stop=[text[4:6]], stream=stream))
        choices = [e["choices"][0] for e in events(answer.text)] if stream else answer.json()["choices"]
        assert "".join(choice["text"] for choice in choices) == text[:4]
        assert choices[-1]["finish_reason"] == "stop"


def test_a_seed_repeats_an_answer(client: TestClient) -> None:
    def sampled(seed: int) -> str:
        request = body(temperature=2, max_tokens=30, seed=seed)
        return str(client.post(PLAIN, json=request).json()["choices"][0]["text"])

    assert sampled(-5) == sampled(-5)
    assert len({sampled(seed) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"max_tokens": 98}, "max_tokens"),
        ({"max_tokens": "4"}, "max_tokens"),
        ({"max_tokens": 4.0}, "max_tokens"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [3] * 100}, "prompt"),
        ({"prompt": [VOCABULARY]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [10**30]}, "prompt"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"n": 2}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"stop": ""}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"seed": "x"}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"logprobs": 21}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"echo": True}, "echo"),
        ({"model": None}, "model"),
        ({"model": ["counter"]}, "model"),
    ],
)
def test_a_bad_value_is_named(client: TestClient, change: dict[str, Any], param: str) -> None:
    answer = client.post(PLAIN, json=body(**change))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert param in error["message"] or "token" in error["message"]


@pytest.mark.parametrize(
    "messages",
    [
        None, [], "hello", [{"role": "user"}], [{"role": "user", "content": 5}], [{"content": "x"}],
        [{"role": "robot", "content": "x"}], [{"role": "system", "content": "x"}], ["x"],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        [{"role": "user", "content": ""}],
    ],
)  # fmt: skip
def test_bad_messages_are_named(client: TestClient, messages: Any) -> None:
    answer = client.post(CHAT, json={"model": "counter", "messages": messages})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages"


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"model": NaN}'])
def test_a_body_that_is_no_json_object_is_400(client: TestClient, raw: bytes) -> None:
    answer = client.post(PLAIN, content=raw)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_statuses_of_the_rest(client: TestClient) -> None:
    answers = {
        404: [client.post(PLAIN, json=body(model="other")), client.get("/v1/models/other"), client.get("/x")],
        405: [client.get(CHAT), client.post("/ready"), client.delete("/v1/models")],
        413: [client.post(PLAIN, content=b" " * (MAX_BODY_BYTES + 1))],
    }
    for status, several in answers.items():
        for answer in several:
            assert answer.status_code == status
            assert answer.json()["error"]["message"]
    assert answers[404][0].json()["error"]["code"] == "model_not_found"


def test_probes_and_models(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {
        "status": "ready", "bundle_digest": "sha256:00", "model": "counter", "road": "edge", "format": "int4",
    }  # fmt: skip
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["counter"]
    assert client.get("/v1/models/counter").json()["id"] == "counter"


def test_metrics_count_tokens(client: TestClient) -> None:
    def generated() -> float:
        lines = client.get("/metrics").text.splitlines()
        name = 'vllm:generation_tokens_total{model_name="counter"} '
        return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    before = generated()
    client.post(PLAIN, json=body(max_tokens=7))
    assert generated() - before == 7


def test_before_the_model_is_loaded_only_health_is_well() -> None:
    early = TestClient(EdgeApp().asgi)
    assert early.get("/health").status_code == 200
    for answer in (early.get("/ready"), early.post(PLAIN, json=body()), early.get("/v1/models")):
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


def test_a_full_server_says_when_to_come_back(tmp_path: Path) -> None:
    codec, engine, metrics = byte_codec(tmp_path), CountingEngine(max_sequences=1), EdgeMetrics("counter")
    engine.gate = threading.Semaphore(0)
    scheduler = Scheduler(engine, [], metrics, Limits(max_waiting=0))
    service = EdgeService(
        facts=ModelFacts("counter", 100, VOCABULARY), bundle_digest="", variant="int4", codec=codec,
        template=None, scheduler=scheduler, metrics=metrics, request_seconds=30,
    )  # fmt: skip
    app = EdgeApp()
    app.service = service
    scheduler.start()
    scheduler.submit(Generation([1], SamplingParams(max_tokens=1), codec.writer()))
    answer = TestClient(app.asgi).post(PLAIN, json=body())
    engine.gate.release()
    scheduler.stop()
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert "trivium_edge_refused_total" in metrics.text().decode()
    chat = TestClient(app.asgi).post(
        CHAT, json={"model": "counter", "messages": [{"role": "user", "content": "x"}]}
    )
    assert chat.status_code == 400
    assert "no chat template" in chat.json()["error"]["message"]


def test_a_tokenizer_without_a_template_has_none(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert ChatTemplate.read(tmp_path) is None
