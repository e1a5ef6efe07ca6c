"""Answers of the OpenAI API: whole ones and stream chunks, for chat and for plain completions."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from edge.generation import Generation, Piece
from edge.sampling import TokenLogprob
from edge.text import TextCodec

DONE = b"data: [DONE]\n\n"


def event(value: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def usage(generation: Generation) -> dict[str, int]:
    """Token counts; the end-of-sequence token counts, as in vLLM."""
    prompt, completion = len(generation.prompt), len(generation.pieces)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class Answer:
    """Shapes one generation's answer; the subclasses differ in names only."""

    object_name = ""
    chunk_name = ""
    id_prefix = ""

    def __init__(self, generation: Generation, codec: TextCodec, model: str, *, token_ids: bool) -> None:
        self._generation = generation
        self._codec = codec
        self._token_ids = token_ids
        self._head = {
            "id": f"{self.id_prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }
        self._sent_characters = 0
        self._first = True

    def whole(self) -> dict[str, Any]:
        """The answer of a finished generation."""
        generation = self._generation
        choice = {
            "index": 0,
            **self._content(generation.text),
            "logprobs": self._logprobs(generation.pieces),
            "finish_reason": generation.finish_reason,
        }
        answer = {**self._head, "object": self.object_name, "choices": [choice], "usage": usage(generation)}
        if self._token_ids:
            choice["token_ids"] = [piece.token for piece in generation.pieces]
            self._add_prompt(answer, choice)
        return answer

    def chunk(self, pieces: Sequence[Piece], *, last: bool) -> bytes:
        """The event for `pieces`, tokens not sent before; the last one carries the finish reason."""
        generation = self._generation
        text = "".join(piece.text for piece in pieces) + (generation.tail if last else "")
        choice: dict[str, Any] = {
            "index": 0,
            **self._delta(text),
            "logprobs": self._logprobs(pieces),
            "finish_reason": generation.finish_reason if last else None,
        }
        answer = {**self._head, "object": self.chunk_name, "choices": [choice]}
        if self._token_ids:
            choice["token_ids"] = [piece.token for piece in pieces]
            if self._first:
                self._add_prompt(answer, choice)
        self._first = False
        self._sent_characters += len(text)
        return event(answer)

    def usage_chunk(self) -> bytes:
        """The event that closes a stream with `include_usage`."""
        return event(
            {**self._head, "object": self.chunk_name, "choices": [], "usage": usage(self._generation)}
        )

    def _content(self, text: str) -> dict[str, Any]:
        raise NotImplementedError

    def _delta(self, text: str) -> dict[str, Any]:
        raise NotImplementedError

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        entries = [piece.logprob for piece in pieces if piece.logprob is not None]
        return self._logprob_lists(entries, pieces) if entries else None

    def _logprob_lists(self, entries: list[TokenLogprob], pieces: Sequence[Piece]) -> dict[str, Any]:
        raise NotImplementedError

    def _add_prompt(self, answer: dict[str, Any], choice: dict[str, Any]) -> None:
        raise NotImplementedError


class ChatAnswer(Answer):
    """`chat.completion` and its chunks."""

    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"
    id_prefix = "chatcmpl"

    def _content(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def _delta(self, text: str) -> dict[str, Any]:
        return {"delta": {"role": "assistant", "content": text} if self._first else {"content": text}}

    def _logprob_lists(self, entries: list[TokenLogprob], pieces: Sequence[Piece]) -> dict[str, Any]:
        content = [
            {**self._entry(e.token, e.logprob), "top_logprobs": [self._entry(*pair) for pair in e.top]}
            for e in entries
        ]
        return {"content": content, "refusal": None}

    def _entry(self, token: int, logprob: float) -> dict[str, Any]:
        codec = self._codec
        return {"token": codec.token_text(token), "logprob": logprob, "bytes": codec.token_bytes(token)}

    def _add_prompt(self, answer: dict[str, Any], choice: dict[str, Any]) -> None:
        answer["prompt_token_ids"] = self._generation.prompt


class CompletionAnswer(Answer):
    """`text_completion` and its chunks."""

    object_name = "text_completion"
    chunk_name = "text_completion"
    id_prefix = "cmpl"

    def _content(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _delta(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _logprob_lists(self, entries: list[TokenLogprob], pieces: Sequence[Piece]) -> dict[str, Any]:
        offsets, at = [], self._sent_characters
        for piece in pieces:
            offsets.append(at)
            at += len(piece.text)
        name = self._codec.token_text
        return {
            "tokens": [name(e.token) for e in entries],
            "token_logprobs": [e.logprob for e in entries],
            "top_logprobs": [{name(token): value for token, value in e.top} for e in entries],
            "text_offset": offsets,
        }

    def _add_prompt(self, answer: dict[str, Any], choice: dict[str, Any]) -> None:
        choice["prompt_token_ids"] = self._generation.prompt
