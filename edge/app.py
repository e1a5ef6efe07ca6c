"""The HTTP skin: routes, body limits, streams, errors in OpenAI's shape. What they do is in service.py."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edge.answers import DONE, Answer, ChatAnswer, CompletionAnswer, event
from edge.errors import ApiError
from edge.openai import ChatRequest, CompletionRequest, check_model, parse
from edge.service import RETRY_AFTER, EdgeService, LiveGeneration

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 2**20
DRAINED_BYTES = 64 * 2**20
"""A body up to this size is read before it is refused: clients look for an answer only after sending."""


class EdgeApp:
    """The application; `service` is None until the bundle is verified and loaded."""

    def __init__(self) -> None:
        self.service: EdgeService | None = None
        routes = [
            Route("/health", self._health),
            Route("/ready", self._ready),
            Route("/metrics", self._metrics),
            Route("/v1/models", self._models),
            Route("/v1/models/{model:path}", self._model),
            Route("/v1/completions", self._completions, methods=["POST"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]
        self.asgi = Starlette(
            routes=routes,
            exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _unforeseen},
        )

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, request: Request) -> Response:
        service = self._loaded()
        if service.scheduler.failed is not None:
            raise ApiError(503, "the engine has failed; see the server's log")
        return JSONResponse(service.ready())

    async def _metrics(self, request: Request) -> Response:
        text = self.service.metrics.text() if self.service else b""
        return Response(text, media_type="text/plain; version=0.0.4")

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_describe(self._loaded())]})

    async def _model(self, request: Request) -> Response:
        service = self._loaded()
        check_model(request.path_params["model"], service.facts)
        return JSONResponse(_describe(service))

    async def _chat(self, request: Request) -> Response:
        service = self._loaded()
        wanted = parse(await _body(request), ChatRequest)
        live = service.start_chat(wanted)
        answer = ChatAnswer(
            live.generation, service.codec, service.facts.model, token_ids=bool(wanted.return_token_ids)
        )
        return await _respond(request, wanted, live, answer)

    async def _completions(self, request: Request) -> Response:
        service = self._loaded()
        wanted = parse(await _body(request), CompletionRequest)
        live = service.start_completion(wanted)
        answer = CompletionAnswer(
            live.generation, service.codec, service.facts.model, token_ids=bool(wanted.return_token_ids)
        )
        return await _respond(request, wanted, live, answer)

    def _loaded(self) -> EdgeService:
        if self.service is None:
            raise ApiError(503, "the model is being verified and loaded", headers=RETRY_AFTER)
        return self.service


async def _respond(
    request: Request, wanted: ChatRequest | CompletionRequest, live: LiveGeneration, answer: Answer
) -> Response:
    if wanted.stream:
        return StreamingResponse(
            _events(live, answer, include_usage=wanted.include_usage),
            media_type="text/event-stream", headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )  # fmt: skip
    try:
        if not await _unless_disconnected(request, live.finish):
            return Response(status_code=499)
    finally:
        live.generation.cancel()
    return JSONResponse(answer.whole())


async def _events(live: LiveGeneration, answer: Answer, *, include_usage: bool) -> AsyncIterator[bytes]:
    """The stream's events. Ends the generation when the client leaves: the iterator is closed then."""
    held = []
    try:
        async with contextlib.aclosing(live.pieces()) as news:
            async for pieces, last in news:
                held += pieces
                # Half a character, or what may become a stop string, waits for the next token.
                if last or any(piece.text for piece in pieces):
                    yield answer.chunk(held, last=last)
                    held = []
        if include_usage:
            yield answer.usage_chunk()
        yield DONE
    except ApiError as exc:
        yield event(exc.body())
    finally:
        live.generation.cancel()


async def _unless_disconnected(request: Request, work: Callable[[], Awaitable[None]]) -> bool:
    """Run `work`; False where the client leaves first. Raises what `work` raises."""
    working = asyncio.ensure_future(work())
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        working.result()
        return True
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    """The whole body. Raises ApiError 413 beyond MAX_BODY_BYTES, without keeping it."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > DRAINED_BYTES:
        raise _too_large()
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        elif size > DRAINED_BYTES:
            raise _too_large()
        else:
            chunks.clear()
    if size > MAX_BODY_BYTES:
        raise _too_large()
    return b"".join(chunks)


def _too_large() -> ApiError:
    return ApiError(
        413, f"the body is larger than {MAX_BODY_BYTES} bytes", code="request_too_large",
        headers={"connection": "close"},
    )  # fmt: skip


def _describe(service: EdgeService) -> dict[str, object]:
    return {
        "id": service.facts.model, "object": "model", "created": 0, "owned_by": "trivium",
        "max_model_len": service.facts.context_length,
    }  # fmt: skip


async def _api_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, ApiError)
    return JSONResponse(exc.body(), exc.status, exc.headers)


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    what = {
        404: f"no such path: {request.url.path[:200]}",
        405: f"{request.url.path} does not answer {request.method}",
    }
    error = ApiError(exc.status_code, what.get(exc.status_code, exc.detail))
    return JSONResponse(error.body(), exc.status_code, exc.headers)


async def _unforeseen(request: Request, exc: Exception) -> Response:
    if isinstance(exc, ClientDisconnect):
        return Response(status_code=499)
    log.error("%s %s failed", request.method, request.url.path, exc_info=exc)
    return JSONResponse(ApiError(500, "internal error; see the server's log").body(), 500)
