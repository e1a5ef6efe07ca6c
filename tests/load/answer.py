"""Reading one OpenAI answer: which chunks carry tokens, how many tokens, whether it really ended."""

from __future__ import annotations

import json
from typing import Any


class Answer:
    """Fed with the `data:` payloads of a stream (or one whole body), it counts tokens and finds faults."""

    def __init__(self) -> None:
        self.chunk_times: list[float] = []
        """When chunks that carry tokens arrived, in the caller's clock."""
        self.finish_reason: str | None = None
        self.prompt_tokens: int | None = None
        self.done = False
        self.error: str | None = None
        self._usage_tokens: int | None = None
        self._token_ids: int | None = None

    def feed(self, payload: bytes, at: float) -> None:
        """One event of a stream, which arrived at `at`. Raises ValueError where it is not an OpenAI chunk."""
        if payload == b"[DONE]":
            self.done = True
        elif self._read(json.loads(payload)):
            self.chunk_times.append(at)

    def feed_whole(self, body: bytes) -> None:
        """A body that was not streamed. Raises ValueError where it is not an OpenAI answer."""
        self._read(json.loads(body))
        self.done = True

    @property
    def tokens(self) -> int:
        """Output tokens, by the best source there was."""
        return self._counted[0]

    @property
    def token_source(self) -> str:
        """`token_ids`, `usage` or `chunks` (chunks with text: too few where one holds several tokens)."""
        return self._counted[1]

    @property
    def fault(self) -> tuple[str, str] | None:
        """Why an answer with status 200 is a failure all the same: (kind, detail); None for a good one."""
        if self.error is not None:
            return "stream_error", self.error
        if self.finish_reason is None or not self.done:
            lacks = "finish_reason" if self.finish_reason is None else "[DONE]"
            return "stream_unfinished", f"the answer ended without {lacks}"
        if self.tokens == 0:
            return "no_tokens", f"finish_reason {self.finish_reason!r} and not one token"
        return None

    @property
    def _counted(self) -> tuple[int, str]:
        if self._token_ids is not None:
            return self._token_ids, "token_ids"
        if self._usage_tokens is not None:
            return self._usage_tokens, "usage"
        return len(self.chunk_times), "chunks"

    def _read(self, frame: Any) -> bool:
        """Take in one object; True where it carries tokens."""
        if not isinstance(frame, dict):
            raise ValueError(f"expected a JSON object, found a {type(frame).__name__}")
        if frame.get("error"):
            error = frame["error"]
            self.error = str(error.get("message") if isinstance(error, dict) else error)[:200]
            return False
        if usage := frame.get("usage"):
            self._usage_tokens = usage.get("completion_tokens")
            self.prompt_tokens = usage.get("prompt_tokens")
        carries = False
        for choice in frame.get("choices") or ():
            carries |= self._read_choice(choice)
        return carries

    def _read_choice(self, choice: dict[str, Any]) -> bool:
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        ids = choice.get("token_ids")
        if ids is not None:
            self._token_ids = (self._token_ids or 0) + len(ids)
        part = choice.get("delta") or choice.get("message") or choice
        return bool(ids) or bool(part.get("content") or part.get("text") or part.get("tool_calls"))
