"""A worker of asynchronous SGD: it takes a batch and the weights of the moment and gives a gradient back."""

from __future__ import annotations

import os
import socket
import time
from functools import partial
from typing import Any

import numpy as np
import torch

from training import hardware
from training.distributed.config import DistributedConfig, DistributedError
from training.distributed.corpus import Corpus
from training.distributed.server import Push, Vector, Work
from training.distributed.world import ScoredModel, loss_of
from training.loop import accumulate
from training.model import Llama
from training.optim import FlatAdamW
from training.packing import Batch, BatchStream, dev_batches


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
        self, number: int, settings: DistributedConfig, corpus: Corpus, model: Llama, device: str
    ) -> None:
        torch.set_num_threads(settings.threads)
        self._number, self._device = number, torch.device(device)
        dtype = hardware.choose_dtype(settings.precision)
        self._flat = FlatAdamW(model.to(self._device), settings.optimizer, dtype)  # for its flat vectors
        self._scored = ScoredModel(model)
        self._batches = NumberedBatches(corpus, settings)
        height = min(settings.batch.rows, self._batches.rows)
        dev = dev_batches(corpus.dev, settings.evaluation.max_batches, height)
        self._dev = [batch.to(self._device) for batch in dev]

    def who(self) -> dict[str, Any]:
        """Number, process and device; answers once the worker is ready."""
        return {
            "worker": self._number, "pid": os.getpid(), "host": socket.gethostname(),
            "device": str(self._device),
        }  # fmt: skip

    def work(self, server: Any) -> dict[str, Any]:
        """Pull, compute, push until nothing is left; returns what was measured."""
        import ray

        computing = 0.0
        pushes = 0
        ray.get(server.join.remote(self.who()))
        task: Work | None = ray.get(server.exchange.remote(self._number, None))
        while task is not None:
            started = time.perf_counter()
            push = self._gradient(task)
            computing += time.perf_counter() - started
            pushes += 1
            task = ray.get(server.exchange.remote(self._number, push))
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
        loss = accumulate(partial(loss_of, self._scored), self._flat, batches, targets)
        tokens = sum(batch.real_tokens for batch in batches)
        positions = sum(batch.tokens.numel() for batch in batches)
        gradient = self._flat.grad.cpu().numpy()
        work = (task.batch, task.version)
        return Push(work, gradient, loss, tokens, positions, targets, self._batches.rows)

    def _take(self, weights: Vector) -> None:
        self._flat.load_state_tensors({"master": torch.from_numpy(np.array(weights))})
