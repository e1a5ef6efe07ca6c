"""What can be set about the model server, and how those settings become engine arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from common.config import StrictModel

CONFIGS = Path(__file__).parent / "configs"
MIB = 1024 * 1024

DType = Literal["float32", "bfloat16", "float16", "auto"]


class LoraSettings(StrictModel):
    """Low-rank adapters: those in the bundle's `adapters/` are served under their own names."""

    max_loras: PositiveInt = 1
    """Adapters that one batch may mix."""
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 64
    hot: bool = False
    """Let requests load and unload the bundle's adapters while the server serves (`--engine vllm`); for a
    server that only its operator reaches."""


class EngineSettings(StrictModel):
    """vLLM's engine."""

    dtype: DType = "float32"
    """Precision of weights and activations; float32 is what the golden prompts were made with."""
    max_model_len: PositiveInt | None = None
    """Longest prompt plus answer in tokens; null takes the model's own limit."""
    kv_cache_mib: PositiveInt | None = 256
    """Memory for the KV cache of each worker; null lets vLLM size it (GPUs: by `gpu_memory_utilization`)."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    max_num_seqs: PositiveInt = 64
    """Sequences in one batch; more wait in the engine's queue."""
    max_num_batched_tokens: PositiveInt | None = None
    """Tokens in one step (prefill chunks); null takes vLLM's default."""
    enforce_eager: bool = True
    """Run without graph capture or compilation: starts faster, and on CPU costs little."""
    enable_prefix_caching: bool = True
    tensor_parallel_size: PositiveInt = 1
    """GPUs (or CPU workers) that share one replica's weights."""
    threads: PositiveInt | None = None
    """CPU threads of the engine; null: all cores but one. GPUs, and several CPU workers, leave it to vLLM."""
    lora: LoraSettings | None = None


class RaySettings(StrictModel):
    """Ray and Ray Serve."""

    address: str | None = None
    """An existing cluster (`auto` or `ray://…`); null starts a private one that ends with the server."""
    num_replicas: PositiveInt = 1
    accelerator_type: str | None = None
    """Ray's name of the GPU to place replicas on, for example `L4` or `H200`; null takes any."""
    cpus_per_replica: Annotated[float, Field(gt=0)] = 1.0
    logical_cpus: PositiveInt = 8
    """CPUs that a private cluster offers. Book-keeping only: nothing is pinned or limited by it."""
    object_store_mib: Annotated[int, Field(ge=80)] = 100
    max_ongoing_requests: PositiveInt = 256
    """Requests that one replica works on at once."""
    max_queued_requests: PositiveInt = 1024
    """Requests that wait for a replica; more are answered 503."""


class HttpSettings(StrictModel):
    """The HTTP side, the same for both engines."""

    max_body_bytes: PositiveInt = 4 * MIB
    drain_seconds: PositiveInt = 20
    """After SIGTERM, how long requests in progress may finish."""


class ServerSettings(StrictModel):
    """One model server, as in `configs/cpu.yaml` and `configs/gpu.yaml`."""

    device: Literal["cpu", "gpu"] = "cpu"
    engine: EngineSettings = EngineSettings()
    ray: RaySettings = RaySettings()
    http: HttpSettings = HttpSettings()

    @model_validator(mode="after")
    def _accelerator_needs_gpu(self) -> ServerSettings:
        if self.device == "cpu" and self.ray.accelerator_type is not None:
            raise ValueError("ray.accelerator_type names a GPU, but device is cpu; set device: gpu")
        return self

    def engine_kwargs(self) -> dict[str, Any]:
        """Arguments for vLLM's `AsyncEngineArgs`, without the model."""
        engine = self.engine
        kwargs: dict[str, Any] = {
            "dtype": engine.dtype,
            "max_num_seqs": engine.max_num_seqs,
            "enforce_eager": engine.enforce_eager,
            "enable_prefix_caching": engine.enable_prefix_caching,
            "tensor_parallel_size": engine.tensor_parallel_size,
        }
        if engine.max_model_len is not None:
            kwargs["max_model_len"] = engine.max_model_len
        if engine.max_num_batched_tokens is not None:
            kwargs["max_num_batched_tokens"] = engine.max_num_batched_tokens
        if engine.kv_cache_mib is not None:
            kwargs["kv_cache_memory_bytes"] = engine.kv_cache_mib * MIB
        if self.device == "gpu":
            kwargs["gpu_memory_utilization"] = engine.gpu_memory_utilization
        if engine.lora is not None:
            kwargs |= {"enable_lora": True, **engine.lora.model_dump(exclude={"hot"})}
        return kwargs

    def environment(self) -> dict[str, str]:
        """Environment of the processes that run the engine: offline, silent, with the threads set."""
        variables = {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        if self.device == "cpu" and self.engine.tensor_parallel_size == 1:
            # One core is left to the HTTP side, as vLLM does too when it binds threads itself.
            threads = self.engine.threads or max(1, len(os.sched_getaffinity(0)) - 1)
            variables |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(threads)}
        if self.engine.lora is not None and self.engine.lora.hot:
            variables["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
        return variables
