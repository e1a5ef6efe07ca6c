"""vLLM on Ray Serve LLM: the on-prem road's server.

This process is the driver and the HTTP front. It speaks to the replicas through a Serve handle, as
Serve's own HTTP proxy does, so that no proxy process stands between. It imports neither vLLM nor
`ray.llm` (some 15 s and 500 MB): the replica does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bundle import Bundle
from bundle.keys import default_public_key
from common.processes import ServerError
from services.llm.asgi import ClientDisconnected, Receive, Scope, Send, read_body
from services.llm.config import MIB, ServerSettings
from services.llm.errors import RequestError, cause
from services.llm.merge_metrics import merge_replicas

APP = "llm"
POLL_SECONDS = 0.1
SERVE_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray Serve's own settings for throughput: handles speak gRPC, and no threads between router and code.
    # Measured here with 32 streams: 4,300 tokens/s against 2,450.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # Part of that setting, and unwanted: replicas would listen for HTTP on all interfaces.
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
}
SCOPE_KEYS = ("method", "path", "raw_path", "query_string", "headers", "http_version", "scheme", "root_path")


@contextmanager
def cluster(settings: ServerSettings) -> Iterator[None]:
    """Connect to the configured Ray cluster, or start a private one that ends with the context."""
    # Read by Ray when it is imported; a private cluster's processes inherit them.
    os.environ.update({**settings.environment(), **SERVE_ENVIRONMENT})
    import ray
    from ray import serve

    if settings.ray.address is not None:
        ray.init(address=settings.ray.address, log_to_driver=True)
        try:
            yield
        finally:
            serve.delete(APP)
            ray.shutdown()
        return
    # Ray's sockets live in this folder and their paths must stay below 108 characters.
    session = tempfile.mkdtemp(prefix="trivium-ray-")
    try:
        ray.init(
            address="local", num_cpus=settings.ray.logical_cpus, include_dashboard=False,
            object_store_memory=settings.ray.object_store_mib * MIB, _temp_dir=session,
            _node_ip_address="127.0.0.1", log_to_driver=True,
        )  # fmt: skip
        yield
    finally:
        # Ends the cluster and so the replicas; the front has drained them. (`serve.shutdown` before it
        # would wait up to a minute for a controller that is not up yet.)
        ray.shutdown()
        shutil.rmtree(session, ignore_errors=True)


@asynccontextmanager
async def open_backend(
    bundle: Bundle, public_key: Path | None, settings: ServerSettings, check: Callable[[], None]
) -> AsyncIterator[RayBackend]:
    """Deploy the bundle and wait until a replica has loaded it. Raises ServerError with Serve's reason.

    `check` is called while it waits and raises to give up.
    """
    from ray import serve
    from ray.serve.config import HTTPOptions

    from services.llm.ray_replica import BundleServer

    serve.start(http_options=HTTPOptions(location="NoServer"))
    deployment = serve.deployment(BundleServer).options(name="BundleServer", **deployment_options(settings))
    key = (public_key or default_public_key()).resolve()
    app = deployment.bind(str(bundle.path.resolve()), str(key), settings)
    # `serve.run` would wait in a thread that SIGTERM cannot interrupt.
    target = serve.RunTarget(app, name=APP, route_prefix=None)
    serve.run_many([target], wait_for_applications_running=False)
    await _until_running(check)
    yield RayBackend(serve.get_app_handle(APP))


async def _until_running(check: Callable[[], None]) -> None:
    """Wait for the replicas. Raises ServerError with Serve's reason where they cannot start."""
    from ray import serve

    while True:
        check()
        application = serve.status().applications.get(APP)
        if application is not None and application.status == "RUNNING":
            return
        if application is not None and application.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            reasons = "\n".join(
                [application.message, *(part.message for part in application.deployments.values())]
            )
            raise ServerError(f"Ray Serve could not start the model: {cause(reasons)}")
        await asyncio.sleep(POLL_SECONDS)


def deployment_options(settings: ServerSettings) -> dict[str, Any]:
    """Serve options: how many replicas, where, with how many requests each."""
    worker: dict[str, float] = {"CPU": settings.ray.cpus_per_replica}
    if settings.device == "gpu":
        worker["GPU"] = 1
        if settings.ray.accelerator_type is not None:
            worker[f"accelerator_type:{settings.ray.accelerator_type}"] = 0.001
    return {
        "num_replicas": settings.ray.num_replicas,
        "max_ongoing_requests": settings.ray.max_ongoing_requests,
        "max_queued_requests": settings.ray.max_queued_requests,
        "graceful_shutdown_timeout_s": settings.http.drain_seconds,
        "graceful_shutdown_wait_loop_s": 0.1,
        # A model that cannot be loaded cannot be loaded the third time either.
        "max_constructor_retry_count": 1,
        "ray_actor_options": {
            "num_cpus": settings.ray.cpus_per_replica,
            "runtime_env": {"env_vars": settings.environment()},
        },
        # The replica sits in the first bundle and its tensor-parallel workers in all of them.
        "placement_group_bundles": [dict(worker) for _ in range(settings.engine.tensor_parallel_size)],
        "placement_group_strategy": "PACK",
    }


class RayBackend:
    """The deployed application, reached through a Serve handle."""

    recovers = True

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._requests = handle.options(stream=True).handle

    async def healthy(self) -> bool:
        """Whether a replica runs."""
        from ray import serve

        status = await asyncio.to_thread(serve.status)
        return APP in status.applications and status.applications[APP].status == "RUNNING"

    async def metrics(self) -> bytes:
        """vLLM's metrics of every replica."""
        texts: list[bytes] = await self._handle.broadcast("metrics").results_async()
        return merge_replicas(texts)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request to a replica and its answer back; a client that leaves cancels the request."""
        from ray.serve.exceptions import BackPressureError

        body = await read_body(receive, limit_bytes=1 << 40)  # the front has limited it
        answer = self._requests.remote({key: scope[key] for key in SCOPE_KEYS if key in scope}, body)
        leaving = asyncio.ensure_future(_disconnect(receive))
        passing = asyncio.ensure_future(_pass_on(answer, send))
        try:
            await asyncio.wait({leaving, passing}, return_when=asyncio.FIRST_COMPLETED)
            if not passing.done():
                raise ClientDisconnected
            passing.result()
        except BackPressureError as exc:
            raise RequestError(
                503, "too many requests wait for the model; try again", code="overloaded"
            ) from exc
        finally:
            leaving.cancel()
            if not passing.done():
                answer.cancel()
                passing.cancel()
            await asyncio.gather(leaving, passing, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pass_on(answer: Any, send: Send) -> None:
    status, headers = await anext(answer)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    async for pieces in answer:
        await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
