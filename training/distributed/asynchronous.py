"""Asynchronous SGD on Ray actors: workers pull weights and push gradients whenever they are ready."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from common.errors import TriviumError
from common.files import atomic_write
from training import hardware
from training.distributed.cluster import cluster, device_kind
from training.distributed.config import DistributedConfig, DistributedError, identity_of
from training.distributed.corpus import Corpus, dev_batches, read_corpus, total_steps
from training.distributed.record import (
    begin,
    describe,
    facts_of,
    finished,
    start_of,
    with_whole_paths,
    write_result,
)
from training.distributed.server import ParameterServer, Push, Vector, Work
from training.distributed.world import ScoredModel, loss_of
from training.model import Llama
from training.optim import FlatAdamW
from training.packing import Batch, BatchStream


class NumberedBatches:
    """The batches of a run by number, the same that a synchronous run takes in order."""

    def __init__(self, corpus: Corpus, settings: DistributedConfig) -> None:
        self._stream = BatchStream(corpus.train, settings.batch.rows)
        self._accumulate = settings.batch.accumulate
        self._starts = [0]
        """Rows of the whole run before each epoch."""
        self._data = corpus.train
        self.rows = self._stream.rows_per_batch * self._accumulate

    def batches(self, number: int) -> list[Batch]:
        """The micro-batches of step `number`."""
        row = number * self.rows
        while row >= self._starts[-1] + self._length(len(self._starts) - 1):
            self._starts.append(self._starts[-1] + self._length(len(self._starts) - 1))
        epoch = max(index for index, start in enumerate(self._starts) if start <= row)
        if epoch == self._stream.epoch:
            self._stream.row = row - self._starts[epoch]
        else:
            self._stream.seek(epoch, row - self._starts[epoch])  # packs that epoch's rows
        return [self._stream.next() for _ in range(self._accumulate)]

    def _length(self, epoch: int) -> int:
        if epoch == 0:
            return self._stream.rows_per_epoch
        return len(self._data.epoch(epoch))


class AsyncWorker:
    """A Ray actor that computes gradients."""

    def __init__(
        self, rank: int, settings: DistributedConfig, corpus: Corpus, model: Llama, device: str
    ) -> None:
        torch.set_num_threads(settings.threads)
        self._rank, self._device = rank, torch.device(device)
        dtype = hardware.choose_dtype(settings.precision)
        self._flat = FlatAdamW(model.to(self._device), settings.optimizer, dtype)  # for its flat vectors
        self._scored = ScoredModel(model)
        self._batches = NumberedBatches(corpus, settings)
        dev = dev_batches(settings, corpus.dev, min(settings.batch.rows, self._batches.rows))
        self._dev = [batch.to(self._device) for batch in dev]

    def who(self) -> dict[str, Any]:
        """Process id and device."""
        return {"rank": self._rank, "pid": os.getpid(), "device": str(self._device)}

    def work(self, server: Any) -> dict[str, Any]:
        """Pull, compute, push until nothing is left; returns what was measured."""
        import ray

        computing = 0.0
        pushes = 0
        task: Work | None = ray.get(server.exchange.remote(self._rank, None))
        while task is not None:
            started = time.perf_counter()
            push = self._gradient(task)
            computing += time.perf_counter() - started
            pushes += 1
            task = ray.get(server.exchange.remote(self._rank, push))
        return {"computing_seconds": computing, "pushes": pushes, "peak_rss_bytes": hardware.peak_rss_bytes()}

    def dev_loss(self, weights: Vector) -> float:
        """Mean loss per target token on the dev batches, in nats."""
        self._take(weights)
        with torch.no_grad():
            total = sum(loss_of(self._scored, batch).item() for batch in self._dev)
        return total / sum(batch.target_tokens for batch in self._dev)

    def _gradient(self, task: Work) -> Push:
        self._take(task.weights)
        torch.manual_seed(task.batch)
        batches = [batch.to(self._device) for batch in self._batches.batches(task.batch)]
        targets = sum(batch.target_tokens for batch in batches)
        if not targets:
            raise DistributedError(f"all labels of batch {task.batch} are masked: nothing to learn")
        self._flat.grad.zero_()
        loss = 0.0
        for batch in batches:
            part = loss_of(self._scored, batch) / targets
            part.backward()  # type: ignore[no-untyped-call]
            self._flat.collect()
            loss += part.item()
        tokens = sum(batch.real_tokens for batch in batches)
        positions = sum(batch.tokens.numel() for batch in batches)
        gradient = self._flat.grad.cpu().numpy()
        work = (task.batch, task.version)
        return Push(work, gradient, loss, tokens, positions, targets, self._batches.rows)

    def _take(self, weights: Vector) -> None:
        self._flat.load_state_tensors({"master": torch.from_numpy(np.array(weights))})


@dataclass(slots=True)
class Crew:
    """The running workers, and how to start another."""

    settings: DistributedConfig
    server: Any
    corpus: Any
    model: Any
    device: str
    attempts: list[int]
    """The update at which the run, and each replacement of a lost worker, began."""

    def start(self, rank: int) -> tuple[Any, Any]:
        """A new worker: its handle, and the reference of its result."""
        import ray

        resources = {"num_cpus": 1, "num_gpus": 1 if self.device == "cuda" else 0}
        actor = ray.remote(AsyncWorker).options(**resources)
        worker = actor.remote(rank, self.settings, self.corpus, self.model, self.device)
        line = {"from_step": ray.get(self.server.begin.remote()), "workers": [ray.get(worker.who.remote())]}
        with (self.settings.output / "workers.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        return worker, worker.work.remote(self.server)

    def run(self) -> tuple[list[Any], list[dict[str, Any]]]:
        """Until all batches are done; a lost worker is replaced. Returns handles and what they measured.

        Raises DistributedError for more losses than `max_failures`, or for a worker's own mistake.
        """
        import ray

        workers, running, figures = {}, {}, []
        for rank in range(self.settings.workers):
            workers[rank], ref = self.start(rank)
            running[ref] = rank
        while running:
            (ref,), _ = ray.wait(list(running), num_returns=1)
            rank = running.pop(ref)
            try:
                figures.append({"rank": rank, **ray.get(ref)})
            except ray.exceptions.RayActorError as exc:
                if len(self.attempts) > self.settings.max_failures:
                    raise DistributedError(
                        f"gave up: workers were lost {len(self.attempts)} times (max_failures = "
                        f"{self.settings.max_failures}); the same command goes on from the last checkpoint"
                    ) from exc
                ray.get(self.server.forget.remote(rank))
                self.attempts.append(ray.get(self.server.begin.remote()))
                print(f"async: worker {rank} was lost; another takes its place", file=sys.stderr)
                workers[rank], ref = self.start(rank)
                running[ref] = rank
        return list(workers.values()), figures


def train_async(settings: DistributedConfig) -> dict[str, Any]:
    """Run an asynchronous job to its end; returns what result.json holds. Raises DistributedError."""
    settings = with_whole_paths(settings)
    tokenizer, model = start_of(settings)
    identity = identity_of("async", settings, tokenizer.folder)
    if found := finished(settings, identity):
        return found
    corpus = read_corpus(settings, tokenizer)
    steps = total_steps(settings, BatchStream(corpus.train, settings.batch.rows))
    began = begin(settings, identity)
    started = time.perf_counter()
    with cluster(settings.workers):
        import ray

        device = device_kind(settings.gpus, settings.workers)
        print(describe("async", settings, model, corpus, device), file=sys.stderr)
        try:
            summary = _run_actors(settings, identity, corpus, model, steps, device, began)
        except ray.exceptions.RayTaskError as exc:
            if isinstance(exc.cause, TriviumError):
                raise DistributedError(str(exc.cause)) from exc
            raise
        except ray.exceptions.RayActorError as exc:
            raise DistributedError(
                f"the parameter server was lost ({exc}); the same command goes on from its last checkpoint"
            ) from exc
    facts = facts_of("async", settings, model, corpus, time.perf_counter() - started)
    return write_result(settings, tokenizer, identity, model, {**summary, **facts})


def _run_actors(
    settings: DistributedConfig, identity: dict[str, Any], corpus: Corpus, model: Llama, steps: int,
    device: str, began: int,
) -> dict[str, Any]:  # fmt: skip
    import ray

    shared = ray.put(corpus), ray.put(model)
    # Beside the workers and their CPUs: it computes little.
    server = ray.remote(ParameterServer).options(num_cpus=0).remote(settings, identity, model, steps)
    crew = Crew(settings, server, *shared, device, [began])
    workers, figures = crew.run()
    summary = ray.get(server.finish.remote())
    snapshots = summary.pop("snapshots")
    losses = {step: ray.get(workers[0].dev_loss.remote(weights)) for step, weights in snapshots.items()}
    _note_dev_losses(settings, losses)
    return {
        **summary, "rows": summary["steps"] * settings.batch.rows * settings.batch.accumulate,
        "dev_loss": losses.get(steps), "best_dev_loss": min(losses.values(), default=None),
        "timed_seconds": summary["seconds"], "per_worker": figures,
        "attempts": crew.attempts, "device": device,
    }  # fmt: skip


def _note_dev_losses(settings: DistributedConfig, losses: dict[int, float]) -> None:
    """Add the dev losses, which are taken afterwards and off the clock, to the metrics of their steps."""
    path = settings.output / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["step"] in losses:
            line["dev_loss"] = losses[line["step"]]
    atomic_write(path, "".join(json.dumps(line) + "\n" for line in lines))
