"""What runs inside a Ray Serve replica: Ray Serve LLM's vLLM engine, spoken to in HTTP terms.

The driver must stay light (see `ray_engine`), so vLLM and `ray.llm` are imported in the replica only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

from services.llm.asgi import Message
from services.llm.config import ServerSettings

Start = tuple[int, list[tuple[bytes, bytes]]]
"""Status and headers of an answer."""


class BundleServer:
    """Ray Serve deployment: verifies the bundle, loads it with Ray Serve LLM's engine, answers requests."""

    # Ray Serve awaits an asynchronous constructor.
    async def __init__(  # type: ignore[misc]
        self, bundle_dir: str, public_key: str, settings: ServerSettings
    ) -> None:
        from bundle import verify

        # The driver has verified its copy; this one may be on another machine.
        bundle = await asyncio.to_thread(verify, Path(bundle_dir), Path(public_key))
        from services.llm.contract import ContractApp
        from services.llm.ray_vllm import OneProcessEngine, llm_config

        # The engine without Ray Serve LLM's own server class: all that adds here is a usage reporter
        # (an actor of 270 MB), and vLLM's application is what clients shall see.
        engine = OneProcessEngine(llm_config(bundle, settings))
        await engine.start()
        self._engine = engine
        app = await engine.build_asgi_app()
        self._lifespan = contextlib.AsyncExitStack()
        await self._lifespan.enter_async_context(app.router.lifespan_context(app))
        self._app = ContractApp(
            app, max_model_len=engine.max_model_len, max_body_bytes=settings.http.max_body_bytes
        )

    async def check_health(self) -> None:
        """Ray Serve calls this; an error makes it replace the replica."""
        await self._engine.check_health()

    async def metrics(self) -> bytes:
        """This replica's Prometheus registry, as text."""
        from prometheus_client import REGISTRY, generate_latest

        return generate_latest(REGISTRY)

    async def handle(self, scope: dict[str, Any], body: bytes) -> AsyncIterator[Start | list[bytes]]:
        """Answer one HTTP request: first status and headers, then pieces of the body as they come.

        Pieces that are ready together travel together. Cancelling (the client left) stops the generation.
        """
        answer: asyncio.Queue[Message] = asyncio.Queue()
        left = asyncio.Event()
        given = False

        async def receive() -> Message:
            nonlocal given
            if given:
                await left.wait()
                return {"type": "http.disconnect"}
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        task = asyncio.ensure_future(_call(self._app({"type": "http", **scope}, receive, answer.put), answer))
        try:
            start = await answer.get()
            if start["type"] == "http.response.start":
                yield start["status"], list(start["headers"])
                more = True
                while more:
                    pieces, more = await _pieces(answer)
                    if pieces:
                        yield pieces
            await task
        finally:
            left.set()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _call(answering: Awaitable[None], answer: asyncio.Queue[Message]) -> None:
    """Run the application and mark its end, so that a reader never waits for a dead one."""
    try:
        await answering
    finally:
        answer.put_nowait({"type": "end"})


async def _pieces(answer: asyncio.Queue[Message]) -> tuple[list[bytes], bool]:
    """The body pieces that are there (at least one message is awaited) and whether more may come."""
    pieces: list[bytes] = []
    message = await answer.get()
    while True:
        if message["type"] != "http.response.body":
            return pieces, False
        if message.get("body"):
            pieces.append(message["body"])
        if not message.get("more_body", False):
            return pieces, False
        if answer.empty():
            return pieces, True
        message = answer.get_nowait()
