"""Counting must not depend on where the network cuts the stream."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.inspector import MAX_EVENT_BYTES, Inspector

pytestmark = pytest.mark.unit


def frame(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def delta(text: str, index: int = 0, **choice: Any) -> bytes:
    return frame(choices=[{"index": index, "delta": {"content": text}, **choice}])


STREAM = (
    frame(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
    + b": keep-alive\n\n"
    + delta("Caf\u00e9 ")
    + delta("open\n\nlate")
    + frame(choices=[{"index": 0, "delta": {}, "finish_reason": "length"}])
    + frame(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 9})
    + b"data: [DONE]\n\n"
)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=8), st.booleans())
def test_any_cut_gives_the_same_counts(cuts: list[int], crlf: bool) -> None:
    inspector = Inspector()
    edges = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(edges):
        piece = STREAM[start:end]
        inspector.feed_stream(piece.replace(b"\n", b"\r\n") if crlf else piece)
    assert (inspector.chunks_with_text, inspector.completion_tokens, inspector.prompt_tokens) == (2, 9, 5)
    assert (inspector.text, inspector.finish_reason) == ("Caf\u00e9 open\n\nlate", "length")


def test_chunks_count_where_there_is_no_usage() -> None:
    inspector = Inspector()
    inspector.feed_stream(delta("a") + delta("b") + frame(choices=[{"index": 0, "text": "c"}]))
    assert inspector.completion_tokens == 3


def test_whole_answer_without_usage_has_no_count() -> None:
    inspector = Inspector()
    inspector.feed_whole(b'{"choices": [{"message": {"content": "ten words or so"}}]}')
    assert (inspector.completion_tokens, inspector.text) == (None, "ten words or so")


def test_tool_calls_are_tokens_and_choices_stay_apart() -> None:
    inspector = Inspector()
    inspector.feed_stream(frame(choices=[{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]))
    inspector.feed_stream(delta("x", 1) + delta("y", 0) + delta("z", 1))
    assert (inspector.chunks_with_text, inspector.text) == (4, "y\nxz")


@pytest.mark.parametrize(
    "garbage", [b"data: {\n\n", b"data: {}\n\n", b'data: {"choices": 3}\n\n', b"\xff\xfe\n\n"]
)
def test_what_is_not_understood_is_passed_over(garbage: bytes) -> None:
    inspector = Inspector()
    inspector.feed_stream(garbage + delta("a"))
    assert inspector.chunks_with_text == 1


def test_event_without_end_is_not_kept() -> None:
    inspector = Inspector()
    for _ in range(40):
        inspector.feed_stream(b"x" * (MAX_EVENT_BYTES // 16))
    assert len(inspector._rest) <= MAX_EVENT_BYTES
