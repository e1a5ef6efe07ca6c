"""Ray Serve LLM's configuration and engine for a bundle. Imports vLLM: for replicas only."""

from __future__ import annotations

from typing import Any

from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.llm._internal.serve.core.configs.llm_config import LLMConfig
from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine

from bundle import Bundle
from services.llm.config import ServerSettings
from services.llm.executor import in_engine_process
from services.llm.vllm_engine import model_arguments


def llm_config(bundle: Bundle, settings: ServerSettings) -> LLMConfig:
    """The bundle and the settings in Ray Serve LLM's terms."""
    return LLMConfig(
        model_loading_config={"model_id": bundle.model_id, "model_source": str(bundle.model_dir)},
        engine_kwargs={**settings.engine_kwargs(), **model_arguments(bundle, settings)},
        accelerator_type=settings.ray.accelerator_type,
        accelerator_config={"kind": settings.device},
        # Off: vLLM then keeps its own Prometheus registry, which `/metrics` shows; on, its figures go to
        # Ray's metrics agent on another port.
        log_engine_metrics=False,
        callback_config={"callback_class": NothingToDownload},
    )


class NothingToDownload(CallbackBase):  # type: ignore[misc]  # untyped base
    """The bundle is on the machine already: spare the task per node that would import vLLM to download it."""

    async def on_before_node_init(self) -> None:
        """Called by Ray Serve LLM before it prepares the nodes."""
        self.ctx.run_init_node = False


class OneProcessEngine(VLLMEngine):  # type: ignore[misc]  # untyped base
    """Ray Serve LLM's vLLM engine, with a lone CPU worker inside the engine's process."""

    def _prepare_engine_config(self, callback_ctx: Any) -> Any:
        engine_args, frontend_args, engine_config = super()._prepare_engine_config(callback_ctx)
        in_engine_process(engine_config)
        self.max_model_len: int = engine_config.model_config.max_model_len
        return engine_args, frontend_args, engine_config
