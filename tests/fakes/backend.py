"""A fake OpenAI server: answers at once, or slowly, or badly, without a model.

    python -m tests.fakes.backend --port 8100 --delay-ms 20 --chunk-delay-ms 5 --tokens 32 --slots 4

Raw ASGI, so that it costs next to nothing beside what is measured. `GET /fake/stats` tells what it saw:
requests, streams running, streams whose client went away, and the last request's body and headers.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Annotated, Any, get_args

import typer
import uvicorn

from tests.fakes.behaviour import Behaviour, Failure

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientGone(Exception):
    """The client closed the connection before the answer was complete."""


class FakeBackend:
    """The ASGI application. `slots` requests are worked on at once, others wait (0: no bound)."""

    def __init__(self, behaviour: Behaviour | None = None, *, model: str = "fake", slots: int = 0) -> None:
        self.behaviour = behaviour or Behaviour()
        self.model = model
        self.slots = asyncio.Semaphore(slots or 1_000_000)
        self.stats: dict[str, Any] = {
            "requests": 0,
            "active": 0,
            "cancelled": 0,
            "last_body": None,
            "last_headers": {},
        }
        self._unary_cache: dict[tuple[bool, Behaviour], bytes] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        path = scope["path"]
        if path in ("/v1/chat/completions", "/v1/completions") and scope["method"] == "POST":
            return await self._complete(scope, path.endswith("chat/completions"), receive, send)
        ready = {"status": "ready", "bundle_digest": "sha256:fake", "road": "fake", "format": "fake"}
        card = {"id": self.model, "object": "model", "created": 0, "owned_by": "fake"}
        pages: dict[str, Any] = {
            "/health": {"status": "ok"},
            "/ready": ready | {"model": self.model},
            "/v1/models": {"object": "list", "data": [card]},
            "/fake/stats": self.stats,
        }
        if path in pages:
            return await _answer(send, 200, pages[path])
        return await _answer(send, 404, _error("no such route", "not_found"))

    async def _complete(
        self, scope: MutableMapping[str, Any], chat: bool, receive: Receive, send: Send
    ) -> None:
        raw = await _read_body(receive)
        self.stats["requests"] += 1
        self.stats["last_headers"] = {k.decode(): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            body = json.loads(raw)
            behaviour = self.behaviour.for_request(body)
        except (ValueError, TypeError, AttributeError) as exc:
            return await _answer(send, 400, _error(str(exc), "invalid_request_error"))
        self.stats["last_body"] = body
        self.stats["active"] += 1
        work = asyncio.ensure_future(self._work(chat, body, behaviour, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self.stats["cancelled"] += 1
                work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        finally:
            gone.cancel()
            self.stats["active"] -= 1

    async def _work(self, chat: bool, body: dict[str, Any], behaviour: Behaviour, send: Send) -> None:
        async with self.slots:
            if behaviour.fail == "crash":
                os._exit(1)
            if behaviour.fail == "hang":
                await asyncio.sleep(3600)
            if behaviour.fail in ("error", "busy"):
                status = 500 if behaviour.fail == "error" else 503
                return await _answer(send, status, _error(f"asked to fail: {behaviour.fail}", "server_error"))
            if behaviour.delay_ms:
                await asyncio.sleep(behaviour.delay_ms / 1000)
            if body.get("stream"):
                return await self._stream(chat, body, behaviour, send)
            if behaviour.chunk_delay_ms:
                await asyncio.sleep(behaviour.chunk_delay_ms * behaviour.tokens / 1000)
            return await self._unary(chat, body, behaviour, send)

    async def _unary(self, chat: bool, body: dict[str, Any], behaviour: Behaviour, send: Send) -> None:
        content = self._unary_cache.get((chat, behaviour))
        if content is None:
            text = "".join(behaviour.words)
            part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            answer = self._frame(chat, part, "stop") | {"usage": _usage(body, behaviour.tokens)}
            content = self._unary_cache[(chat, behaviour)] = json.dumps(answer).encode()
        await _answer(send, 200, content)

    async def _stream(self, chat: bool, body: dict[str, Any], behaviour: Behaviour, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _event(
            send, self._frame(chat, {"delta": {"role": "assistant", "content": ""}} if chat else {"text": ""})
        )
        words = behaviour.words
        for index, word in enumerate(words):
            if index == len(words) // 2 and behaviour.fail == "hang-mid-stream":
                await asyncio.sleep(3600)
            if index == len(words) // 2 and behaviour.fail == "die-mid-stream":
                raise RuntimeError("asked to die in the middle of a stream")
            if index and behaviour.chunk_delay_ms:
                await asyncio.sleep(behaviour.chunk_delay_ms / 1000)
            await _event(send, self._frame(chat, {"delta": {"content": word}} if chat else {"text": word}))
        await _event(send, self._frame(chat, {"delta": {}} if chat else {"text": ""}, "stop"))
        if (body.get("stream_options") or {}).get("include_usage"):
            frame = self._frame(chat, {}) | {"choices": [], "usage": _usage(body, behaviour.tokens)}
            await _event(send, frame)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    def _frame(self, chat: bool, part: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        kind = (
            "text_completion"
            if not chat
            else "chat.completion"
            if "message" in part
            else "chat.completion.chunk"
        )
        choice = {"index": 0, **part, "finish_reason": finish_reason}
        return {"id": "cmpl-fake", "object": kind, "created": 0, "model": self.model, "choices": [choice]}


def _usage(body: dict[str, Any], completion_tokens: int) -> dict[str, int]:
    prompt = body.get("prompt") or " ".join(str(m.get("content")) for m in body.get("messages") or [])
    prompt_tokens = len(str(prompt).split())
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def _error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Send, status: int, content: dict[str, Any] | bytes) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _event(send: Send, frame: dict[str, Any]) -> None:
    body = b"data: " + json.dumps(frame).encode() + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def main(
    host: str = "127.0.0.1",
    port: int = 8100,
    model: str = "fake",
    tokens: Annotated[int, typer.Option(help="completion tokens per answer")] = 16,
    delay_ms: Annotated[float, typer.Option(help="before the first token")] = 0.0,
    chunk_delay_ms: Annotated[float, typer.Option(help="between tokens")] = 0.0,
    slots: Annotated[int, typer.Option(help="requests worked on at once; 0: no bound")] = 0,
    fail: Annotated[str, typer.Option(help=" | ".join(get_args(Failure)))] = "none",
    startup_ms: Annotated[float, typer.Option(help="sleep before listening, like a model that loads")] = 0.0,
) -> None:
    """Serve until SIGTERM."""
    time.sleep(startup_ms / 1000)
    values = {"tokens": tokens, "delay_ms": delay_ms, "chunk_delay_ms": chunk_delay_ms, "fail": fail}
    behaviour = Behaviour().for_request({"metadata": values})
    app = FakeBackend(behaviour, model=model, slots=slots)
    uvicorn.run(
        app, host=host, port=port, access_log=False, log_level="critical", timeout_graceful_shutdown=2,
        http="httptools", loop="uvloop", backlog=2048,
    )  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
