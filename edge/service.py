"""A loaded model with its scheduler: what the HTTP side asks for one answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from edge.chat import ChatError, ChatTemplate
from edge.errors import ApiError
from edge.generation import Generation, Piece
from edge.metrics import EdgeMetrics
from edge.openai import (
    ChatRequest,
    CompletionRequest,
    ModelFacts,
    check_model,
    check_prompt,
    sampling_params,
)
from edge.scheduler import QueueFull, Scheduler, Stopped
from edge.text import TextCodec

RETRY_AFTER = {"retry-after": "1"}


@dataclass(frozen=True)
class EdgeService:
    """Everything that exists once the bundle is verified and loaded."""

    facts: ModelFacts
    bundle_digest: str
    variant: str
    codec: TextCodec
    template: ChatTemplate | None
    scheduler: Scheduler
    metrics: EdgeMetrics
    request_seconds: float
    """A request older than this is ended with 504."""

    def ready(self) -> dict[str, str]:
        """The answer of `/ready`."""
        return {
            "status": "ready", "bundle_digest": self.bundle_digest, "model": self.facts.model,
            "road": "edge", "format": self.variant,
        }  # fmt: skip

    def start_chat(self, request: ChatRequest) -> LiveGeneration:
        """Queue a chat completion. Raises ApiError."""
        check_model(request.model, self.facts)
        if self.template is None:
            raise ApiError(400, "this model has no chat template; use /v1/completions", param="messages")
        try:
            prompt = self.template.render([message.flat() for message in request.messages])
        except ChatError as exc:
            raise ApiError(400, str(exc), param="messages") from exc
        return self._start(request, self.codec.encode(prompt, add_special_tokens=False), "messages")

    def start_completion(self, request: CompletionRequest) -> LiveGeneration:
        """Queue a plain completion. Raises ApiError."""
        check_model(request.model, self.facts)
        prompt = request.prompt
        if isinstance(prompt, list) and isinstance(prompt[0], str):
            prompt = prompt[0]
        if isinstance(prompt, str):
            tokens = self.codec.encode(prompt, add_special_tokens=True)
        else:
            tokens = [token for token in prompt if isinstance(token, int)]
        return self._start(request, tokens, "prompt")

    def _start(
        self, request: ChatRequest | CompletionRequest, prompt: list[int], param: str
    ) -> LiveGeneration:
        check_prompt(prompt, param, self.facts)
        params = sampling_params(request, len(prompt), self.facts)
        generation = Generation(
            prompt,
            params,
            self.codec.writer(params.stop),
            deadline=time.perf_counter() + self.request_seconds,
        )
        live = LiveGeneration(generation, stream=bool(request.stream))
        try:
            self.scheduler.submit(generation)
        except QueueFull as exc:
            self.metrics.refused.inc()
            raise ApiError(429, "too many requests wait already; try again", headers=RETRY_AFTER) from exc
        except Stopped as exc:
            raise ApiError(503, "the server is stopping or has failed", headers=RETRY_AFTER) from exc
        return live


class LiveGeneration:
    """The asyncio side of a generation; make it in the event loop that will read it."""

    def __init__(self, generation: Generation, *, stream: bool) -> None:
        self.generation = generation
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._told = False
        generation.notify = self._notify

    async def finish(self) -> None:
        """Wait for the end. Raises ApiError where the answer was not completed."""
        while self.generation.finish_reason is None:
            await self._wait()
        self._raise_failure()

    async def pieces(self) -> AsyncGenerator[tuple[list[Piece], bool], None]:
        """New pieces as they come, and whether they are the last.

        Tokens that arrive while the reader is busy come together. Raises ApiError.
        """
        read = 0
        while True:
            # Read the reason first: pieces of a finished generation are complete.
            finished = self.generation.finish_reason is not None
            new = self.generation.pieces[read:]
            read += len(new)
            if finished:
                self._raise_failure()
            if new or finished:
                yield new, finished
            if finished:
                return
            await self._wait()

    async def _wait(self) -> None:
        await self._news.wait()
        self._news.clear()
        self._told = False

    def _notify(self) -> None:
        # Called by the worker. One wake-up is enough until the reader has come back.
        if self._told or not (self._stream or self.generation.finish_reason is not None):
            return
        self._told = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    def _raise_failure(self) -> None:
        reason = self.generation.finish_reason
        if reason == "deadline":
            raise ApiError(504, "the answer took longer than this server allows", code="deadline_exceeded")
        if reason == "cancelled":
            raise ApiError(503, "the server is stopping", headers=RETRY_AFTER)
        if reason == "error":
            raise ApiError(500, "the engine failed; see the server's log")
