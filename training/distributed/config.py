"""Settings of distributed training (`training/configs/distributed.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from common.config import StrictModel
from common.errors import TriviumError
from common.files import sha256_file
from training.config import BatchConfig, CheckpointConfig
from training.hardware import Precision
from training.model import ModelConfig
from training.optim import OptimizerConfig

Strategy = Literal["ddp", "fsdp", "pipeline", "async"]

_NOT_IDENTITY = {"output", "checkpoint", "workers", "threads", "gpus", "max_failures", "ddp", "pipeline"}
"""Settings that a resumed run may change: the synchronous strategies take the same steps on any number of
workers."""


class DistributedError(TriviumError):
    """Distributed training cannot start or cannot go on."""


class DevConfig(StrictModel):
    """What is measured on the dev split while training."""

    every: int = Field(default=100, ge=1)
    """Steps between two evaluations; there is always one at the end."""
    max_batches: int = Field(default=10, ge=1)
    """Batches of the dev split that are used; always the same ones."""


class DdpConfig(StrictModel):
    """How replicas add up their gradients."""

    gradients: Literal["flat", "buckets"] = "flat"
    """`flat`: one all-reduce of the float32 gradient after the backward pass. `buckets`: torch's
    DistributedDataParallel, which reduces buckets in the weights' precision during the backward pass."""


class PipelineConfig(StrictModel):
    """The model is cut into one stage a worker."""

    schedule: Literal["gpipe", "1f1b"] = "1f1b"
    """GPipe (Huang et al. 2019): all forward, then all backward. 1F1B (Narayanan et al. 2019): one backward
    as soon as it can be, so that activations of at most as many micro-batches as stages are kept."""
    micro_batches: int = Field(default=4, ge=1)
    """Parts of equal size that `batch.rows` is cut into."""


class ServerConfig(StrictModel):
    """The parameter server of asynchronous training."""

    optimizer: Literal["adamw", "sgd", "momentum"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1)
    staleness_bound: int | None = Field(default=None, ge=0)
    """Steps that a worker may be ahead of the slowest one (stale synchronous parallel, Ho et al. 2013); 0 is
    lockstep, null does not bound it."""
    staleness_aware: bool = False
    """Divide the learning rate of a gradient by its staleness (Zhang et al. 2016)."""


class DistributedConfig(StrictModel):
    """`python -m training dist {ddp,fsdp,pipeline,async}`."""

    data: Path
    """A prepared data set; only the process that starts the job reads it."""
    output: Path
    """The run folder; on several machines one that all of them see."""
    tokenizer: Path | None = None
    """Tokenizer folder; without it that of the start model, or for a new model one trained on `data`."""
    start: Path | None = Field(default=None, alias="from")
    """Run folder or model folder to start from; without it a new model of size `model`."""
    model: str | ModelConfig = "nano"
    learn: Literal["texts", "answers"] = "texts"
    """What carries loss: every token, or the assistant's answers alone."""
    seed: int = Field(default=1, ge=0)
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; takes the place of `epochs`."""
    precision: Precision = "auto"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Random, and so different for each number of workers."""
    batch: BatchConfig = BatchConfig()
    """The global batch: workers share its rows. An asynchronous worker computes a whole one by itself."""
    optimizer: OptimizerConfig
    evaluation: DevConfig = DevConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    workers: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    """Threads of each worker."""
    gpus: Literal["auto", "never"] = "auto"
    """`auto`: one GPU (and NCCL) a worker where the cluster has as many, else CPUs (and gloo)."""
    max_failures: int = Field(default=3, ge=0)
    """Losses of workers after which the job gives up."""
    ddp: DdpConfig = DdpConfig()
    pipeline: PipelineConfig = PipelineConfig()
    server: ServerConfig = ServerConfig()


def identity_of(strategy: Strategy, settings: DistributedConfig, tokenizer: Path) -> dict[str, Any]:
    """What decides the weights: settings, and digests of data, tokenizer and start weights.

    The synchronous strategies share one, for a run of one can go on as a run of another.
    """
    excluded = _NOT_IDENTITY if strategy == "async" else _NOT_IDENTITY | {"server"}
    rows = settings.data / "train.jsonl"
    if not rows.is_file():
        raise DistributedError(
            f"{rows}: no such file; `python -m training data --config …` prepares a data set"
        )
    start = settings.start / "model.safetensors" if settings.start else None
    return {
        "job": "dist-async" if strategy == "async" else "dist-sync",
        **settings.model_dump(mode="json", exclude=excluded),
        "data_sha256": sha256_file(rows),
        "tokenizer_sha256": sha256_file(tokenizer / "tokenizer.json"),
        "start_sha256": sha256_file(start) if start else None,
    }
