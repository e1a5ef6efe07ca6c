"""Reading streams: tokens, their source, and answers that only look complete."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.load.answer import Answer

pytestmark = pytest.mark.unit


def chunk(text: str | None = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def read(*frames: dict[str, Any] | bytes) -> Answer:
    answer = Answer()
    for at, frame in enumerate(frames):
        answer.feed(frame if isinstance(frame, bytes) else json.dumps(frame).encode(), float(at))
    return answer


def test_only_chunks_with_tokens_have_a_time() -> None:
    answer = read(chunk(""), chunk("a"), chunk("b"), chunk(finish="stop"), b"[DONE]")
    assert answer.chunk_times == [1.0, 2.0]
    assert (answer.tokens, answer.token_source, answer.fault) == (2, "chunks", None)


def test_usage_counts_better_than_chunks() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 5}}
    answer = read(chunk("two tokens"), chunk(finish="length"), usage, b"[DONE]")
    assert (answer.tokens, answer.token_source, answer.prompt_tokens) == (5, "usage", 4)


def test_token_ids_count_best_and_show_tokens_without_text() -> None:
    answer = read(chunk("", token_ids=[7]), chunk("é", token_ids=[8, 9]), chunk(finish="stop"), b"[DONE]")
    assert (answer.tokens, answer.token_source) == (3, "token_ids")
    assert answer.chunk_times == [0.0, 1.0], "half of a character is a token although it has no text yet"


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        ([chunk("a")], "stream_unfinished"),
        ([chunk("a"), b"[DONE]"], "stream_unfinished"),
        ([chunk("a"), chunk(finish="stop")], "stream_unfinished"),
        ([chunk("a"), {"error": {"message": "out of memory"}}, b"[DONE]"], "stream_error"),
        ([chunk(finish="stop"), b"[DONE]"], "no_tokens"),
    ],
)
def test_answers_that_only_look_complete(frames: list[Any], kind: str) -> None:
    fault = read(*frames).fault
    assert fault is not None
    assert fault[0] == kind


@pytest.mark.parametrize("payload", [b"{", b"[]", b"null"])
def test_what_is_no_chunk(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"object|Expecting"):
        read(payload)


def test_a_whole_body_and_text_completions() -> None:
    answer = Answer()
    body = {"choices": [{"text": "hi", "finish_reason": "stop"}], "usage": {"completion_tokens": 3}}
    answer.feed_whole(json.dumps(body).encode())
    assert (answer.tokens, answer.fault, answer.chunk_times) == (3, None, [])
