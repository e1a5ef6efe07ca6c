"""One entry for all strategies."""

from __future__ import annotations

from typing import Any

from training.distributed.config import DistributedConfig, Strategy


def train(strategy: Strategy, settings: DistributedConfig) -> dict[str, Any]:
    """Run a job to its end; returns what its result.json holds. Raises TriviumError subclasses."""
    if strategy == "async":
        from training.distributed.asynchronous import train_async

        return train_async(settings)
    from training.distributed.launch import train_on_ray

    return train_on_ray(strategy, settings)
