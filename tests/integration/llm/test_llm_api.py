"""The OpenAI API of both model servers: vLLM in one process (cloud) and on Ray Serve (on-prem)."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
import requests

from bundle import Bundle
from tests.integration.llm.conftest import Served

pytestmark = pytest.mark.integration

QUESTION = [{"role": "user", "content": "Describe: name: The Eagle."}]


def post(served: Served, path: str, body: Any, **options: Any) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return requests.post(f"{served.url}{path}", data=data, headers=headers, timeout=60, **options)


def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)


def test_ready_names_bundle_road_and_format(served: Served) -> None:
    assert requests.get(f"{served.url}/ready", timeout=10).json() == {
        "status": "ready", "bundle_digest": Bundle.open(served.bundle.path).digest, "model": "tiny",
        "road": served.name, "format": "fp32",
    }  # fmt: skip


def test_the_model_is_listed_under_the_bundles_id(served: Served) -> None:
    assert [model.id for model in client(served).models.list()] == ["tiny"]
    assert client(served).models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError):
        client(served).models.retrieve("nobody")


def test_golden_prompts_give_the_expected_tokens(served: Served) -> None:
    for golden in Bundle.open(served.bundle.path).manifest.golden:
        request = {
            "model": "tiny", "messages": [message.model_dump() for message in golden.messages],
            "temperature": 0, "max_tokens": len(golden.expected_token_ids), "return_token_ids": True,
        }  # fmt: skip
        answer = post(served, "/v1/chat/completions", request).json()
        assert answer["prompt_token_ids"] == golden.prompt_token_ids
        assert answer["choices"][0]["token_ids"] == golden.expected_token_ids


def test_a_stream_gives_the_same_text_and_its_usage(served: Served) -> None:
    settings: dict[str, Any] = {"model": "tiny", "messages": QUESTION, "temperature": 0, "max_tokens": 20}
    whole = client(served).chat.completions.create(**settings)
    chunks = list(
        client(served).chat.completions.create(
            **settings, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 10
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20


def test_logprobs_stop_and_seed_are_honoured(served: Served) -> None:
    settings: dict[str, Any] = {"model": "tiny", "prompt": "The", "max_tokens": 12}
    greedy = client(served).completions.create(**settings, temperature=0, logprobs=3).choices[0]
    assert greedy.logprobs is not None
    assert greedy.logprobs.token_logprobs is not None
    assert len(greedy.logprobs.token_logprobs) == 12
    drawn = [
        client(served).completions.create(**settings, temperature=1.5, seed=seed).choices[0].text
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


BAD_REQUESTS: dict[str, tuple[dict[str, Any], int]] = {
    "max_tokens 0": ({"max_tokens": 0}, 400),
    "max_tokens 10^9": ({"max_tokens": 10**9}, 400),
    "more than the context leaves": ({"max_tokens": 250}, 400),
    "prompt beyond the context": ({"messages": [{"role": "user", "content": "word " * 400}]}, 400),
    "no messages": ({"messages": []}, 400),
    "messages of a wrong type": ({"messages": "hello"}, 400),
    "temperature of a wrong type": ({"temperature": "warm"}, 400),
    "temperature below zero": ({"temperature": -1}, 400),
    "top_p beyond 1": ({"top_p": 2}, 400),
    "unknown model": ({"model": "nobody"}, 404),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_value_is_refused_in_the_openai_shape(served: Served, case: str) -> None:
    change, status = BAD_REQUESTS[case]
    answer = post(served, "/v1/chat/completions", {"model": "tiny", "messages": QUESTION, **change})
    assert_error(answer, status)


def test_an_empty_prompt_is_refused(served: Served) -> None:
    assert_error(post(served, "/v1/completions", {"model": "tiny", "prompt": []}), 400)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b""])
def test_a_body_that_is_no_json_object_is_refused(served: Served, body: bytes) -> None:
    assert_error(post(served, "/v1/completions", body), 400)


def test_a_large_body_is_refused(served: Served) -> None:
    assert_error(post(served, "/v1/completions", b"x" * 20_000_000), 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("GET", "/nowhere", 404), ("POST", "/reset_prefix_cache", 404)],
)
def test_other_methods_and_paths_are_refused(served: Served, method: str, path: str, status: int) -> None:
    assert_error(requests.request(method, f"{served.url}{path}", timeout=10), status)


def assert_error(answer: requests.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["message"]
    assert "Traceback" not in answer.text
