"""The checks before vLLM, with a fake vLLM that counts a token per character."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from services.llm.asgi import Receive, Scope, Send, answer_json, read_body
from services.llm.contract import ContractApp

pytestmark = pytest.mark.unit

CONTEXT = 256


class FakeVllm:
    """Answers 200; `/tokenize` counts characters and refuses prompts beyond the context."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads(await read_body(receive, 10**9) or b"null")
        # As vLLM does: listen for a disconnect beside the work, which must not starve it.
        leaving = asyncio.ensure_future(_disconnect(receive))
        await asyncio.sleep(0)
        leaving.cancel()
        self.requests.append((scope["path"], body))
        if scope["path"] == "/v1/models":
            await answer_json(send, 200, {"data": [{"id": "m"}]})
            return
        if scope["path"] != "/tokenize":
            await answer_json(send, 200, {"ok": True})
            return
        text = body["prompt"] if "prompt" in body else "".join(turn["content"] for turn in body["messages"])
        count = len(text)
        await answer_json(send, 200 if count <= CONTEXT else 400, {"count": count})

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


async def _disconnect(receive: Receive) -> None:
    for _ in range(1000):
        if (await receive())["type"] == "http.disconnect":
            return
    raise AssertionError("receive() gave the body again and again")


def post(call: Any, request: Any, path: str = "/v1/completions") -> tuple[Any, FakeVllm]:
    vllm = FakeVllm()
    app = ContractApp(vllm, max_model_len=CONTEXT, max_body_bytes=10**6)
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return call(app, "POST", path, body), vllm


def chat(text: str, **settings: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **settings}


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[]", b'"text"', b"null", b"[" * 100_000])
def test_what_is_no_json_object_is_400(call: Any, body: bytes) -> None:
    answer, vllm = post(call, body)
    assert answer.status == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert vllm.requests == []


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [0, -1, CONTEXT, 10**9])
def test_max_tokens_out_of_range_names_the_parameter(call: Any, key: str, value: int) -> None:
    answer, vllm = post(call, chat("hi", **{key: value}), "/v1/chat/completions")
    assert answer.status == 400
    assert answer.json()["error"]["param"] == key
    assert vllm.requests == []


@pytest.mark.parametrize(("wanted", "status"), [(56, 200), (57, 400)])
def test_max_tokens_may_take_exactly_what_the_prompt_leaves(call: Any, wanted: int, status: int) -> None:
    answer, _ = post(call, {"model": "m", "prompt": "x" * 200, "max_tokens": wanted})
    assert answer.status == status
    if status == 400:
        assert "leave 56" in answer.json()["error"]["message"]


def test_chats_are_counted_as_the_template_renders_them(call: Any) -> None:
    assert post(call, chat("x" * 200, max_tokens=56), "/v1/chat/completions")[0].status == 200
    assert post(call, chat("x" * 200, max_tokens=57), "/v1/chat/completions")[0].status == 400


def test_token_ids_are_counted_without_tokenizing(call: Any) -> None:
    answer, vllm = post(call, {"model": "m", "prompt": [7] * 200, "max_tokens": 57})
    assert answer.status == 400
    assert vllm.requests == []


def test_the_longest_prompt_of_a_batch_decides(call: Any) -> None:
    request = {"model": "m", "prompt": ["x", "x" * 200], "max_tokens": 57}
    assert post(call, request)[0].status == 400


def test_short_prompts_are_not_tokenized_twice(call: Any) -> None:
    answer, vllm = post(call, chat("short", max_tokens=16), "/v1/chat/completions")
    assert answer.status == 200
    assert vllm.paths() == ["/v1/chat/completions"]


@pytest.mark.parametrize(
    "request_",
    [chat("x" * 300, max_tokens=8), chat("hi"), chat("hi", max_tokens="8"), chat("hi", max_tokens=True)],
)
def test_what_vllm_checks_itself_is_left_to_it(call: Any, request_: dict[str, Any]) -> None:
    _, vllm = post(call, request_, "/v1/chat/completions")
    assert vllm.requests[-1] == ("/v1/chat/completions", request_)


@pytest.mark.parametrize(("model", "status"), [("m", 200), ("nobody", 404)])
def test_one_model_is_found_in_vllms_list(call: Any, model: str, status: int) -> None:
    app = ContractApp(FakeVllm(), max_model_len=CONTEXT, max_body_bytes=10**6)
    answer = call(app, "GET", f"/v1/models/{model}")
    assert answer.status == status
    assert ("error" in answer.json()) == (status == 404)


def test_other_paths_pass_untouched(call: Any) -> None:
    answer, vllm = post(call, {"any": 1}, "/detokenize")
    assert answer.status == 200
    assert vllm.requests == [("/detokenize", {"any": 1})]
