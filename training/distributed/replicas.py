"""Data parallel: every worker has the whole model and a part of the rows; gradients are added up.

The loss of a step is divided by the target tokens of all workers before the backward pass, and gradients are
summed: the mean of the workers' means would weigh the tokens of a worker with few of them more.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from training.distributed.config import DistributedConfig
from training.distributed.state import load_named_state, named_state
from training.distributed.world import ScoredModel, World, loss_of
from training.loop import accumulate
from training.model import Llama
from training.optim import FlatAdamW
from training.packing import Batch


class Replicas:
    """Replicas that sum one flat float32 gradient after the backward pass (`ddp.gradients: flat`)."""

    counts_rows = True

    def __init__(self, model: Llama, settings: DistributedConfig, dtype: torch.dtype, world: World) -> None:
        self._world = world
        self._scored = ScoredModel(model.to(world.device))
        self._model = model
        self._optimizer = FlatAdamW(model, settings.optimizer, dtype)
        self._waited = 0.0

    def step(self, batches: list[Batch], targets: int, rate: float) -> tuple[float, float]:
        """See `Strategy.step`."""
        loss = self._gradients(batches, targets)
        started = time.perf_counter()
        self._reduce()
        (loss,) = self._world.sum(loss)
        self._waited += time.perf_counter() - started
        norm = self._optimizer.grad_norm()
        if math.isfinite(loss) and math.isfinite(norm):
            self._optimizer.update(rate, norm)
        return loss, norm

    def loss(self, batch: Batch) -> float:
        """See `Strategy.loss`."""
        with torch.no_grad():
            return loss_of(self._scored, batch).item()

    def state(self) -> dict[str, Tensor]:
        """See `Strategy.state`."""
        return named_state(self._optimizer, self._model) if self._world.rank == 0 else {}

    def load(self, state: dict[str, Tensor]) -> None:
        """See `Strategy.load`."""
        load_named_state(self._optimizer, self._model, state)

    def figures(self) -> dict[str, float]:
        """Seconds of all-reduce (waiting for slower workers counts); bytes of weights, gradient, moments."""
        return {"wait_seconds": self._waited, "state_bytes": float(self._optimizer.master.numel() * 4 * 4)}

    def _gradients(self, batches: list[Batch], targets: int) -> float:
        return accumulate(partial(loss_of, self._scored), self._optimizer, batches, targets)

    def _reduce(self) -> None:
        dist.all_reduce(self._optimizer.grad)


class BucketedReplicas(Replicas):
    """Replicas wrapped by torch's DistributedDataParallel (Li et al. 2020), which reduces while the backward
    pass runs (`ddp.gradients: buckets`)."""

    def __init__(self, model: Llama, settings: DistributedConfig, dtype: torch.dtype, world: World) -> None:
        super().__init__(model, settings, dtype, world)
        self._wrapped = DistributedDataParallel(self._scored)

    def _gradients(self, batches: list[Batch], targets: int) -> float:
        loss = 0.0
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            with nullcontext() if last else self._wrapped.no_sync():
                # The wrapper divides the sum by the number of workers, which would be the mean of means.
                part = loss_of(self._wrapped, batch) / targets
                (part * self._world.size).backward()  # type: ignore[no-untyped-call]
            loss += part.item()
        self._optimizer.collect()
        return loss

    def _reduce(self) -> None:
        """The backward pass did it."""
