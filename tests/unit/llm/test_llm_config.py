"""Every setting of the model server is checked and used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigError
from services.llm.config import CONFIGS, MIB, ServerSettings
from services.llm.ray_engine import deployment_options

pytestmark = pytest.mark.unit

CPU = CONFIGS / "cpu.yaml"


def settings(*overrides: str) -> ServerSettings:
    return ServerSettings.from_yaml(CPU, list(overrides))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_settings_are_valid(path: Path) -> None:
    assert ServerSettings.from_yaml(path).device == path.stem


def test_the_cpu_file_states_the_defaults() -> None:
    assert settings() == ServerSettings()


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("engine.dtype=bfloat16", "dtype", "bfloat16"),
        ("engine.max_model_len=128", "max_model_len", 128),
        ("engine.kv_cache_mib=64", "kv_cache_memory_bytes", 64 * MIB),
        ("engine.max_num_seqs=3", "max_num_seqs", 3),
        ("engine.max_num_batched_tokens=512", "max_num_batched_tokens", 512),
        ("engine.enforce_eager=false", "enforce_eager", False),
        ("engine.enable_prefix_caching=false", "enable_prefix_caching", False),
        ("engine.tensor_parallel_size=2", "tensor_parallel_size", 2),
        ("engine.lora={max_lora_rank: 8}", "max_lora_rank", 8),
        ("engine.lora={max_loras: 3}", "max_loras", 3),
        ("engine.lora={}", "enable_lora", True),
    ],
)
def test_engine_settings_become_engine_arguments(override: str, key: str, value: Any) -> None:
    assert settings(override).engine_kwargs()[key] == value
    assert settings().engine_kwargs().get(key) != value


def test_memory_share_is_for_gpus() -> None:
    gpu = settings("device=gpu", "engine.gpu_memory_utilization=0.5")
    assert gpu.engine_kwargs()["gpu_memory_utilization"] == 0.5
    assert "gpu_memory_utilization" not in settings().engine_kwargs()


def test_threads_are_set_by_environment() -> None:
    assert settings("engine.threads=3").environment()["OMP_NUM_THREADS"] == "3"
    assert int(settings().environment()["OMP_NUM_THREADS"]) >= 1
    assert "OMP_NUM_THREADS" not in settings("device=gpu").environment()


def test_replicas_are_placed_as_set() -> None:
    gpu = settings(
        "device=gpu", "ray.accelerator_type=L4", "engine.tensor_parallel_size=2", "ray.num_replicas=3",
        "ray.cpus_per_replica=2", "ray.max_ongoing_requests=5", "ray.max_queued_requests=6",
        "http.drain_seconds=7",
    )  # fmt: skip
    options = deployment_options(gpu)
    worker = {"CPU": 2.0, "GPU": 1, "accelerator_type:L4": 0.001}
    assert options["placement_group_bundles"] == [worker, worker]
    assert options["num_replicas"] == 3
    assert (options["max_ongoing_requests"], options["max_queued_requests"]) == (5, 6)
    assert options["graceful_shutdown_timeout_s"] == 7
    assert options["ray_actor_options"]["num_cpus"] == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("engine.dtpye=float32", "dtype"),
        ("engine.dtype=int3", "engine.dtype"),
        ("ray.num_replicas=0", "ray.num_replicas"),
        ("ray.accelerator_type=L4", "set device: gpu"),
        ("engine.kv_cache_mib=-1", "engine.kv_cache_mib"),
    ],
)
def test_a_wrong_setting_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(override)
