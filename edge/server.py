"""`python -m edge serve`: answer `/health` at once, verify the bundle, then load it, then be ready.

Nothing of the bundle is loaded before it is verified; only the libraries are, meanwhile. The verification is
a child process, because the signing library would keep memory that an edge device does not have.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from common.errors import TriviumError
from common.processes import require_free_port
from edge.app import EdgeApp
from edge.service import EdgeService

log = logging.getLogger(__name__)

SMALL_BYTES = 8 * 2**20


@dataclass(frozen=True)
class ServeOptions:
    """What `serve` was asked for."""

    bundle: Path
    variant: str
    host: str
    port: int
    public_key: Path | None = None
    threads: int = 0
    """Threads of one model run; 0 chooses by the size of the model and the machine."""
    max_sequences: int = 8
    max_waiting: int = 64
    request_seconds: float = 120.0


def serve(options: ServeOptions) -> None:
    """Serve until SIGTERM or SIGINT. Raises TriviumError (port in use, bundle not to be trusted, ...)."""
    require_free_port(options.host, options.port)
    with socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.setblocking(False)
        with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
            runner.run(_serve(options, listener))


async def _serve(options: ServeOptions, listener: socket.socket) -> None:
    app = EdgeApp()
    server = uvicorn.Server(
        uvicorn.Config(
            app.asgi,
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(asyncio.to_thread(load, options))
    try:
        await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            app.service = loading.result()
            log.info(
                "ready: %s %s on http://%s:%d",
                app.service.facts.model,
                options.variant,
                *listener.getsockname()[:2],
            )
        await serving
    finally:
        server.should_exit = True
        await asyncio.wait({serving})
        if app.service is not None:
            app.service.scheduler.stop()


def load(options: ServeOptions) -> EdgeService:
    """Verify the bundle, load the variant, start the scheduler. Raises TriviumError."""
    from concurrent.futures import ThreadPoolExecutor

    from bundle import verify_in_child

    started = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        verifying = pool.submit(verify_in_child, options.bundle, options.public_key)
        from edge.chat import ChatTemplate
        from edge.layout import ModelLayout
        from edge.metrics import EdgeMetrics
        from edge.openai import ModelFacts
        from edge.ort_engine import OrtEngine
        from edge.scheduler import Limits, Scheduler
        from edge.text import TextCodec

        bundle = verifying.result()
    verified = time.perf_counter()
    folder = bundle.onnx_dir(options.variant)
    layout = ModelLayout.read(folder)
    engine = OrtEngine(
        layout, max_sequences=options.max_sequences, threads=options.threads or default_threads(folder)
    )
    metrics = EdgeMetrics(bundle.model_id)
    scheduler = Scheduler(engine, layout.eos_token_ids, metrics, Limits(max_waiting=options.max_waiting))
    service = EdgeService(
        facts=ModelFacts(bundle.model_id, layout.context_length, layout.vocab_size),
        bundle_digest=bundle.digest,
        variant=options.variant,
        codec=TextCodec(folder / "tokenizer.json"),
        template=ChatTemplate.read(folder),
        scheduler=scheduler,
        metrics=metrics,
        request_seconds=options.request_seconds,
    )
    scheduler.start()
    log.info(
        "verified in %.2f s (signer %s), loaded in %.2f s",
        verified - started, bundle.signer, time.perf_counter() - verified,
    )  # fmt: skip
    return service


def default_threads(variant: Path) -> int:
    """One thread for small weights, else the processors this process may use, at most 4.

    A small model's matrix products end before a second thread has woken up, and on a busy machine the
    first then waits for it.
    """
    size = sum(path.stat().st_size for path in variant.glob("*.onnx*"))
    return 1 if size < SMALL_BYTES else max(1, min(4, len(os.sched_getaffinity(0))))


def check_options(options: ServeOptions) -> None:
    """Raises TriviumError for values that cannot work, before anything is started."""
    if not 0 < options.port < 65536:
        raise TriviumError(f"--port {options.port}: give a port from 1 to 65535")
    if not options.bundle.is_dir():
        raise TriviumError(f"--bundle {options.bundle}: no such folder")
    if not 0 <= options.threads <= 256:
        raise TriviumError(f"--threads {options.threads}: give 1 to 256, or 0 to choose by the machine")
    if options.max_sequences < 1 or options.max_waiting < 0 or options.request_seconds <= 0:
        raise TriviumError("--max-sequences needs at least 1, --max-waiting 0, --request-seconds above 0")
