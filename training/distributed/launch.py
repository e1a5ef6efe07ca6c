"""Start a synchronous job (ddp, fsdp, pipeline) on Ray Train."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from training.checkpoint import Checkpoints
from training.distributed.cluster import cluster, device_kind
from training.distributed.config import DistributedConfig, DistributedError, Strategy, identity_of
from training.distributed.corpus import read_corpus, require_rows
from training.distributed.record import (
    begin,
    describe,
    facts_of,
    finished,
    start_of,
    with_whole_paths,
    write_result,
)
from training.packing import BatchStream


def train_on_ray(strategy: Strategy, settings: DistributedConfig) -> dict[str, Any]:
    """Run a synchronous job to its end; returns what result.json holds.

    Raises DistributedError where it cannot start, or where workers were lost more than `max_failures` times.
    """
    from training.distributed.worker import Job

    settings = with_whole_paths(settings)
    if strategy == "pipeline":
        from training.distributed.pipeline import cut_layers, require_shape

        require_shape(settings)
    tokenizer, model = start_of(settings)
    if strategy == "pipeline":
        cut_layers(model, settings.workers)
    identity = identity_of(strategy, settings, tokenizer.folder)
    if found := finished(settings, identity):
        return found
    corpus = read_corpus(settings, tokenizer)
    height = BatchStream(corpus.train, settings.batch.rows).rows_per_batch
    if strategy == "pipeline":
        if height < settings.batch.rows:
            raise DistributedError(
                f"{settings.data} fills only {height} of batch.rows = {settings.batch.rows} rows; lower "
                "batch.rows"
            )
    else:
        require_rows(height, settings, settings.data)
    begin(settings, identity)
    started = time.perf_counter()
    with cluster(settings.workers):
        import ray

        job = Job(strategy, settings, identity, ray.put(corpus), ray.put(model))
        device = device_kind(settings.gpus, settings.workers)
        print(describe(strategy, settings, model, corpus, device), file=sys.stderr)
        summary = _fit(job, device)
    facts = facts_of(strategy, settings, model, corpus, time.perf_counter() - started)
    return write_result(settings, tokenizer, identity, model, {**summary, **facts})


def _fit(job: Any, device: str) -> dict[str, Any]:
    """Run on Ray Train; returns the summary of rank 0."""
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from training.distributed.worker import train_worker

    settings: DistributedConfig = job.settings
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="nccl" if device == "cuda" else "gloo", timeout_s=600),
        scaling_config=ScalingConfig(
            num_workers=settings.workers, use_gpu=device == "cuda", resources_per_worker={"CPU": 1}
        ),
        # Ray Train's folder of checkpoints is ours, so that reporting one copies nothing.
        run_config=RunConfig(
            name="checkpoints", storage_path=str(settings.output),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=settings.checkpoint.keep),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )  # fmt: skip
    try:
        result = trainer.fit()
    except TrainingFailedError as exc:
        newest = Checkpoints(settings.output / "checkpoints", {}, 1).newest()
        where = f"the same command goes on from {newest}" if newest else "there was no checkpoint yet"
        raise DistributedError(
            f"gave up after {settings.max_failures + 1} attempts (max_failures = {settings.max_failures}): "
            f"{_last_line(exc)}; {where}"
        ) from exc
    summary: dict[str, Any] = result.return_value or {"error": "the job was stopped"}
    if "error" in summary:
        raise DistributedError(summary["error"])
    attempts = (settings.output / "workers.jsonl").read_text(encoding="utf-8").splitlines()
    return {**summary, "attempts": [json.loads(line)["from_step"] for line in attempts]}


def _last_line(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(exc).__name__
