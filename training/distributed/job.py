"""A job as the process that starts it hands it to workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from training.distributed.config import DistributedConfig, Strategy


@dataclass(slots=True)
class Job:
    """What every worker gets."""

    strategy: Strategy
    settings: DistributedConfig
    identity: dict[str, Any]
    corpus: Any
    """Reference of the Corpus in Ray's object store."""
    model: Any
    """Reference of the start model."""
    steps: int
    """Optimizer steps of the whole run."""
    device: Literal["cuda", "cpu"]
