"""vLLM in this process (its engine core in a child process): the cloud road's server.

vLLM's own OpenAI application is built from its public parts and served by our HTTP loop.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bundle import Bundle, verify_in_child
from common.processes import ServerError
from services.llm.adapters import AdapterApp, adapters_of
from services.llm.asgi import App
from services.llm.config import ServerSettings
from services.llm.contract import ContractApp
from services.llm.errors import cause

ENGINE_STOP_SECONDS = 5.0


def prepare(settings: ServerSettings) -> None:
    """Set the environment and import vLLM: most of the start-up time, and no model yet."""
    os.environ.update(settings.environment())
    import vllm.entrypoints.launchers.api_server.app_state
    import vllm.entrypoints.launchers.app
    import vllm.v1.engine.async_llm  # noqa: F401


def model_arguments(bundle: Bundle, settings: ServerSettings) -> dict[str, Any]:
    """Arguments about this bundle for vLLM's HTTP layer: adapters and quiet logs."""
    frontend: dict[str, Any] = {"disable_uvicorn_access_log": True, "disable_fastapi_docs": True}
    adapters = adapters_of(bundle)
    if settings.engine.lora is not None and adapters:
        from vllm.entrypoints.openai.models.protocol import LoRAModulePath

        frontend["lora_modules"] = [
            LoRAModulePath(name=name, path=str(bundle.path / "adapters" / name)) for name in adapters
        ]
    return frontend


class VllmBackend:
    """A loaded vLLM engine and its application."""

    recovers = False

    def __init__(self, app: App, client: Any) -> None:
        self.app = app
        self._client = client

    async def healthy(self) -> bool:
        """Whether the engine core lives."""
        return not self._client.errored

    async def metrics(self) -> bytes:
        """Everything in this process's Prometheus registry."""
        from prometheus_client import REGISTRY, generate_latest

        return generate_latest(REGISTRY)


@asynccontextmanager
async def open_backend(
    bundle: Bundle, public_key: Path | None, settings: ServerSettings
) -> AsyncIterator[VllmBackend]:
    """Load the bundle's model; the engine ends with the context. `public_key` checks adapters added later."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import FrontendArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    from services.llm.executor import forked_children_die_with_us, in_engine_process

    engine_args = AsyncEngineArgs(
        model=str(bundle.model_dir), served_model_name=[bundle.model_id], **settings.engine_kwargs()
    )
    frontend_args = FrontendArgs(**model_arguments(bundle, settings))
    args = argparse.Namespace(**(vars(frontend_args) | vars(engine_args)))
    try:
        config = engine_args.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)
    except (ValueError, NotImplementedError) as exc:
        raise ServerError(f"vLLM cannot serve this model with these settings: {cause(str(exc))}") from exc
    if in_engine_process(config):
        # The engine's process then starts as a copy of this one, with vLLM imported and the pages shared.
        # Safe here: no thread of ours holds a lock that the engine takes, and torch has not computed yet.
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
        forked_children_die_with_us()
    try:
        client = AsyncLLM.from_vllm_config(config, usage_context=UsageContext.OPENAI_API_SERVER)
    except RuntimeError as exc:
        raise ServerError(
            f"vLLM could not load the model: {cause(str(exc))}; the log above says more"
        ) from exc
    try:
        tasks = await client.get_supported_tasks()
        app = build_app(args, tasks, client.model_config)
        await init_app_state(client, app.state, args, tasks)
        # vLLM's error handler sets `should_exit` on the server when the engine died; ours watches `errored`.
        app.state.server = SimpleNamespace()
        async with app.router.lifespan_context(app):
            limit = settings.http.max_body_bytes
            contract = ContractApp(app, max_model_len=client.model_config.max_model_len, max_body_bytes=limit)
            verify = partial(verify_in_child, bundle.path, public_key)
            yield VllmBackend(AdapterApp(contract, bundle, verify, max_body_bytes=limit), client)
    finally:
        client.shutdown(timeout=ENGINE_STOP_SECONDS)
