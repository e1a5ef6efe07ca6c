"""The life of the server: listen, verify, load, serve, drain."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

import uvicorn

from bundle import Bundle, verify_in_child
from common.errors import TriviumError
from common.processes import ServerError
from services.llm import adapters
from services.llm.boot import BootServer, listen
from services.llm.config import ServerSettings
from services.llm.front import Backend, Front, Identity

Engine = Literal["ray", "vllm"]
WATCH_SECONDS = 1.0
FORMATS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
"""vLLM's names of precisions, and those that all roads share."""


class EngineDied(TriviumError):
    """The engine ended while the server was serving."""

    exit_code = 1


@dataclass(frozen=True)
class Launch:
    """What to serve and where."""

    bundle_dir: Path
    host: str
    port: int
    engine: Engine
    road: str
    public_key: Path | None
    settings: ServerSettings


class Stopped(BaseException):
    """SIGTERM or SIGINT before the server served; unwinds the loading."""


class Signals:
    """SIGTERM and SIGINT: interrupt the loading, or let the server drain."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self._stopped = False

    def install(self) -> None:
        """Handle the signals here. Called again after libraries that install their own."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._stopped = True
        if self.server is None:
            raise Stopped
        self.server.handle_exit(number, frame)

    def check(self) -> None:
        """Raise Stopped if a signal came whose exception a library swallowed (Ray does, while it starts)."""
        if self._stopped:
            raise Stopped


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: `Signals` outlives it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(launch: Launch) -> None:
    """Serve until SIGTERM or SIGINT. Raises TriviumError where the port, the bundle or the engine is bad."""
    listener = listen(launch.host, launch.port)
    signals = Signals()
    signals.install()
    with contextlib.closing(listener), contextlib.suppress(Stopped), BootServer(listener) as boot:
        import uvloop

        if launch.engine == "vllm":
            uvloop.run(_serve_vllm(launch, listener, boot, signals))
        else:
            _run_ray(launch, listener, boot, signals)


async def _serve_vllm(launch: Launch, listener: socket.socket, boot: BootServer, signals: Signals) -> None:
    from services.llm import vllm_engine

    # vLLM's import takes most of the start and knows nothing of the bundle, so the hashes and the signature
    # are checked meanwhile. A bad bundle is told at once: the thread does not keep the process.
    importing = _Importing(lambda: vllm_engine.prepare(launch.settings))
    importing.start()
    bundle = verify_in_child(launch.bundle_dir, launch.public_key)
    importing.finish()
    async with vllm_engine.open_backend(bundle, launch.public_key, launch.settings) as backend:
        await _serve(launch, bundle, backend, listener, boot, signals)


def _run_ray(launch: Launch, listener: socket.socket, boot: BootServer, signals: Signals) -> None:
    import uvloop

    from services.llm import ray_engine

    bundle = verify_in_child(launch.bundle_dir, launch.public_key)
    with ray_engine.cluster(launch.settings):
        signals.install()  # ray.init replaced them
        signals.check()

        async def serve() -> None:
            opening = ray_engine.open_backend(bundle, launch.public_key, launch.settings, signals.check)
            async with opening as backend:
                await _serve(launch, bundle, backend, listener, boot, signals)

        uvloop.run(serve())


async def _serve(
    launch: Launch,
    bundle: Bundle,
    backend: Backend,
    listener: socket.socket,
    boot: BootServer,
    signals: Signals,
) -> None:
    dtype = launch.settings.engine.dtype
    identity = Identity(
        bundle_digest=bundle.digest, model=bundle.model_id, road=launch.road, format=FORMATS.get(dtype, dtype)
    )
    http = launch.settings.http
    lora = launch.settings.engine.lora
    hot = launch.engine == "vllm" and lora is not None and lora.hot
    front = Front(
        backend, identity, max_body_bytes=http.max_body_bytes,
        operator_routes=adapters.ROUTES if hot else None,
    )  # fmt: skip
    server = _Server(
        uvicorn.Config(
            front, lifespan="off", access_log=False, log_level="warning", server_header=False,
            timeout_graceful_shutdown=http.drain_seconds, backlog=2048,
        )
    )  # fmt: skip
    signals.check()
    signals.server = server
    boot.stop()
    print(f"ready: {bundle.model_id} ({bundle.digest}) on http://{launch.host}:{launch.port}", flush=True)
    watch = asyncio.create_task(_stop_when_dead(backend, server))
    try:
        await server.serve(sockets=[listener])
    finally:
        watch.cancel()
    if not backend.recovers and not await backend.healthy():
        raise EngineDied("the engine ended by itself; the log above says why")


async def _stop_when_dead(backend: Backend, server: uvicorn.Server) -> None:
    """End the server when its engine died and nobody restarts it: an orchestrator then sees it and acts."""
    while not backend.recovers:
        await asyncio.sleep(WATCH_SECONDS)
        if not await backend.healthy():
            server.should_exit = True
            return


class _Importing(threading.Thread):
    """An import on a thread of its own whose error, if any, is raised by `finish`."""

    def __init__(self, load: Callable[[], None]) -> None:
        super().__init__(name="import", daemon=True)
        self._load = load
        self._error: ImportError | None = None

    def run(self) -> None:
        try:
            self._load()
        except ImportError as exc:
            self._error = exc

    def finish(self) -> None:
        """Wait until the import is done. Raises ServerError where it failed."""
        self.join()
        if self._error is not None:
            raise ServerError(
                f"{self._error}; install the serving environment (`make setup`)"
            ) from self._error
