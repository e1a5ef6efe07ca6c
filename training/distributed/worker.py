"""What runs on each worker of a synchronous job: the loop, its checkpoints, and the way back to one.

Ray Train starts it on every worker, and again on new ones when a worker is lost; it then goes on from the
last checkpoint that was reported.
"""

from __future__ import annotations

import importlib
import math
import os
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from common.errors import TriviumError
from training import hardware
from training.checkpoint import Checkpoints, Progress
from training.distributed.config import DistributedError
from training.distributed.corpus import Corpus
from training.distributed.job import Job
from training.distributed.record import note_start
from training.distributed.world import Strategy, World
from training.loop import NothingToLearn, TrainingDiverged, name_rows
from training.model import Llama
from training.packing import Batch, BatchStream, dev_batches
from training.tracking import MetricsFile

KEPT_MORE = 3
"""Checkpoints that are kept beyond those Ray Train lists, so that it never misses one."""


@dataclass(slots=True)
class Worker:
    """All that the loop works on."""

    job: Job
    world: World
    strategy: Strategy
    stream: BatchStream
    dev: list[Batch]
    dev_targets: int
    checkpoints: Checkpoints
    metrics: MetricsFile | None
    """On rank 0."""
    progress: Progress = field(default_factory=Progress)
    train_seconds: float = 0.0
    """Seconds of steps of this attempt, without evaluation and checkpoints."""
    trained_rows: int = 0


def train_worker(config: dict[str, Job]) -> dict[str, Any]:
    """The function that Ray Train calls; returns what was measured, or the text of a user's mistake.

    Mistakes (a checkpoint of another job, a diverged loss) are the same on every worker and at every attempt,
    so they are returned: an exception would make Ray Train try again.
    """
    try:
        worker = prepare(config["job"])
        run(worker)
        return summary(worker)
    except TriviumError as exc:
        return {"error": str(exc)}


def prepare(job: Job) -> Worker:
    """Model, share of the data and optimizer, set to the last checkpoint if there is one."""
    import ray.train

    settings = job.settings
    context = ray.train.get_context()
    torch.set_num_threads(settings.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses to be deterministic
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    device = ray.train.torch.get_device()
    world = World(context.get_world_rank(), context.get_world_size(), device)
    corpus: Corpus = ray.get(job.corpus)
    model: Llama = ray.get(job.model)
    strategy = build(job, model, world)
    if job.strategy != "pipeline":
        for split in (corpus.train, corpus.dev):
            split.share(world.rank, world.size)
    stream = BatchStream(corpus.train, settings.batch.rows)
    most = settings.evaluation.max_batches
    dev = [batch.to(device) for batch in dev_batches(corpus.dev, most, stream.rows_per_batch)]
    counted = sum(batch.target_tokens for batch in dev) if strategy.counts_rows else 0
    checkpoints = Checkpoints(
        settings.output / "checkpoints", job.identity, settings.checkpoint.keep + KEPT_MORE
    )
    worker = Worker(job, world, strategy, stream, dev, int(world.sum(counted)[0]), checkpoints, None)
    restore(worker)
    if world.rank == 0:
        worker.metrics = MetricsFile(settings.output / "metrics.jsonl", worker.progress.step)
    note_attempt(worker)
    return worker


def build(job: Job, model: Llama, world: World) -> Strategy:
    """The strategy of that name around the model."""
    kinds = {
        "ddp": ("replicas", "BucketedReplicas" if job.settings.ddp.gradients == "buckets" else "Replicas"),
        "fsdp": ("sharded", "Shards"), "pipeline": ("pipeline", "Pipeline"),
    }  # fmt: skip
    module, name = kinds[job.strategy]
    # Only the one that is needed: torch's own parts for the others take 140 MB and a second.
    kind = getattr(importlib.import_module(f"training.distributed.{module}"), name)
    strategy: Strategy = kind(model, job.settings, hardware.choose_dtype(job.settings.precision), world)
    return strategy


def restore(worker: Worker) -> None:
    """Go back to the last reported checkpoint of this job, or of an earlier start in the same folder."""
    import ray.train

    reported = ray.train.get_checkpoint()
    path = Path(reported.path) if reported else worker.checkpoints.newest()
    if path is None:
        return
    worker.progress, state = worker.checkpoints.load(path)
    worker.strategy.load(state)
    worker.stream.seek(worker.progress.epoch, worker.progress.row)


def note_attempt(worker: Worker) -> None:
    """One line in `workers.jsonl`: who works from which step."""
    me = {"pid": os.getpid(), "host": socket.gethostname(), "device": str(worker.world.device)}
    everyone = worker.world.gather(me)
    if worker.world.rank == 0:
        note_start(worker.job.settings, worker.progress.step, workers=everyone)


def run(worker: Worker) -> None:
    """Train until the last step."""
    settings, progress, world = worker.job.settings, worker.progress, worker.world
    clock = time.perf_counter() - progress.seconds
    while progress.step < worker.job.steps:
        started = time.perf_counter()
        # A function of the step alone, so that a run that lost a worker ends as one that did not.
        torch.manual_seed((settings.seed * 1_000_003 + progress.step) * 1_009 + world.rank)
        batches = [worker.stream.next().to(world.device) for _ in range(settings.batch.accumulate)]
        targets, tokens, positions = count(worker, batches)
        rate = settings.optimizer.rate_at(progress.step, worker.job.steps)
        loss, norm = worker.strategy.step(batches, targets, rate)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise diverged(worker, loss, norm, rate, batches)
        book(progress, worker.stream, targets, tokens, positions)
        seconds = time.perf_counter() - started
        worker.train_seconds += seconds
        worker.trained_rows += rows_per_step(worker)
        values = {
            "step": progress.step, "rows": progress.step * rows_per_step(worker), "tokens": progress.tokens,
            "loss": loss, "lr": rate, "epoch": progress.epoch, "grad_norm": norm,
            "tokens_per_second": tokens / seconds,
        }  # fmt: skip
        last = progress.step == worker.job.steps
        if last or progress.step % settings.evaluation.every == 0:
            values["dev_loss"] = evaluate(worker)
        progress.seconds = time.perf_counter() - clock
        if worker.metrics:
            worker.metrics.write({**values, "seconds": progress.seconds})
        if last or progress.step % settings.checkpoint.every == 0:
            save(worker)


def rows_per_step(worker: Worker) -> int:
    """Packed rows of a step over all workers."""
    return worker.stream.rows_per_batch * worker.job.settings.batch.accumulate


def count(worker: Worker, batches: list[Batch]) -> tuple[int, int, int]:
    """Target tokens, tokens and positions of the step over all workers. Raises NothingToLearn."""
    own = [
        sum(batch.target_tokens for batch in batches), sum(batch.real_tokens for batch in batches),
        sum(batch.tokens.numel() for batch in batches),
    ]  # fmt: skip
    targets, tokens, positions = worker.world.sum(*(own if worker.strategy.counts_rows else [0, 0, 0]))
    if not targets:
        raise NothingToLearn(f"all labels are masked in rows {name_rows(batches)}: nothing to learn")
    return int(targets), int(tokens), int(positions)


def book(progress: Progress, stream: BatchStream, targets: int, tokens: int, positions: int) -> None:
    """Note a step that is done."""
    progress.step += 1
    progress.epoch, progress.row = stream.epoch, stream.row
    progress.tokens += tokens
    progress.positions += positions
    progress.target_tokens += targets


def evaluate(worker: Worker) -> float:
    """Mean loss per target token on the dev batches, in nats; the same on all workers."""
    (total,) = worker.world.sum(sum(worker.strategy.loss(batch) for batch in worker.dev))
    mean = total / worker.dev_targets
    progress = worker.progress
    progress.last_dev_loss = mean
    progress.best_dev_loss = mean if progress.best_dev_loss is None else min(progress.best_dev_loss, mean)
    return mean


def save(worker: Worker) -> None:
    """Rank 0 writes the checkpoint, all workers report it to Ray Train. Raises DistributedError on all."""
    import ray.train
    from ray.train import Checkpoint, CheckpointUploadMode

    state = worker.strategy.state()
    checkpoint, problem = None, ""
    if worker.world.rank == 0:
        try:
            path = worker.checkpoints.save(worker.progress, state)
            checkpoint = Checkpoint.from_directory(str(path))
        except TriviumError as exc:
            problem = str(exc)
    found = [text for text in worker.world.gather(problem) if text]
    if found:
        raise DistributedError(str(found[0]))
    values = {"step": worker.progress.step, "dev_loss": worker.progress.last_dev_loss}
    # It lies where Ray Train keeps its checkpoints already (see launch.py), so nothing is copied.
    ray.train.report(values, checkpoint=checkpoint, checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD)


def diverged(worker: Worker, loss: float, norm: float, rate: float, batches: list[Batch]) -> TrainingDiverged:
    """The explanation of a loss that is no number."""
    return TrainingDiverged(
        f"training diverged at step {worker.progress.step + 1}: loss {loss}, gradient norm {norm}, learning "
        f"rate {rate:.2e}, rows {name_rows(batches)}. Weights were not updated; last checkpoint: "
        f"{worker.checkpoints.newest() or 'none'}. Lower optimizer.lr or optimizer.clip_norm, or try "
        "precision=fp32; then start again with --fresh"
    )


def summary(worker: Worker) -> dict[str, Any]:
    """What was measured, as rank 0 returns it to the process that started the job."""
    own = {
        "peak_rss_bytes": hardware.peak_rss_bytes(), "train_seconds": worker.train_seconds,
        **worker.strategy.figures(),
    }  # fmt: skip
    everyone = worker.world.gather(own)
    if worker.metrics:
        worker.metrics.close()
    progress = worker.progress
    return {
        "steps": progress.step, "tokens": progress.tokens, "target_tokens": progress.target_tokens,
        "padding_share": 1 - progress.tokens / progress.positions,
        "seconds": progress.seconds, "dev_loss": progress.last_dev_loss,
        "best_dev_loss": progress.best_dev_loss,
        "timed_rows": worker.trained_rows, "timed_seconds": worker.train_seconds, "per_worker": everyone,
        "device": str(worker.world.device), "python": sys.version.split()[0],
    }  # fmt: skip
