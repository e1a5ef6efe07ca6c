"""The parameter server of asynchronous SGD: master weights, the optimizer, and the books on staleness.

Workers take a batch and the weights of this moment, compute a gradient and push it; the server applies it to
whatever the weights have become meanwhile (Dean et al. 2012, Downpour SGD; Recht et al. 2011, Hogwild!). The
staleness of a push is the number of other pushes that were applied since its weights were pulled.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training import hardware
from training.checkpoint import Checkpoints, Progress
from training.distributed.config import DistributedConfig, DistributedError
from training.distributed.record import note_start
from training.distributed.state import load_named_state, named_state
from training.loop import TrainingDiverged
from training.model import Llama
from training.optim import FlatAdamW
from training.tracking import MetricsFile

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker computes next."""

    batch: int
    """Number of the batch, counted over the whole run."""
    version: int
    """Updates that are in `weights`."""
    weights: Vector


@dataclass(frozen=True, slots=True)
class Push:
    """What a worker made of it."""

    work: tuple[int, int]
    """Batch and version."""
    gradient: Vector
    """Of the mean loss per target token."""
    loss: float
    tokens: int
    positions: int
    target_tokens: int
    rows: int


class SGD:
    """Plain SGD, with momentum where it is wanted (Polyak 1964), over FlatAdamW's vectors."""

    def __init__(self, flat: FlatAdamW, momentum: float) -> None:
        self._flat = flat
        self._weights = flat.master.detach()
        self._weights.grad = flat.grad
        self._sgd = torch.optim.SGD([self._weights], lr=1.0, momentum=momentum)

    def update(self, rate: float, norm: float) -> None:
        """Clip by `norm`, then one step."""
        if norm > self._flat.config.clip_norm:
            self._flat.grad.mul_(self._flat.config.clip_norm / norm)
        self._sgd.param_groups[0]["lr"] = rate
        self._sgd.step()

    def velocity(self) -> Tensor | None:
        """The momentum buffer, once there is one."""
        buffer: Tensor | None = self._sgd.state.get(self._weights, {}).get("momentum_buffer")
        return buffer

    def load_velocity(self, velocity: Tensor) -> None:
        """Take over a momentum buffer."""
        self._sgd.state[self._weights]["momentum_buffer"] = velocity.clone()


class ParameterServer:
    """A Ray actor: its coroutines take turns, so that updates are never mixed."""

    def __init__(
        self, settings: DistributedConfig, identity: dict[str, Any], model: Llama, steps: int
    ) -> None:
        torch.set_num_threads(settings.threads)
        self._settings, self._steps, self._model = settings, steps, model
        self._flat = FlatAdamW(model, settings.optimizer, torch.float32)
        server = settings.server
        momentum = server.momentum if server.optimizer == "momentum" else 0.0
        self._sgd = None if server.optimizer == "adamw" else SGD(self._flat, momentum)
        self._checkpoints = Checkpoints(settings.output / "checkpoints", identity, settings.checkpoint.keep)
        self._progress = Progress()
        self._waiting: list[int] = []
        """Batches that a lost worker gave back."""
        self._lost: set[int] = set()
        self._out: dict[int, int] = {}
        """Worker to the batch it computes."""
        self._clocks: dict[int, int] = {}
        self._changed = asyncio.Condition()
        self._staleness: Counter[int] = Counter()
        self._blocked = 0.0
        self._rows = 0
        self.snapshots: dict[int, Vector] = {}
        self._restore()
        self._next = self._progress.step + len(self._waiting)
        self._metrics = MetricsFile(settings.output / "metrics.jsonl", self._progress.step)
        self._clock: float | None = None
        note_start(settings, self._progress.step, server=os.getpid())

    async def join(self, who: dict[str, Any]) -> int:
        """Write down that a worker begins; returns the update that the run goes on from."""
        note_start(self._settings, self._progress.step, workers=[who])
        return self._progress.step

    async def exchange(self, worker: int, push: Push | None) -> Work | None:
        """Apply a push, then wait until this worker may go on; None where no batch is left.

        A push of a batch that this worker does not have (of a lost worker, whose batch another got, or from
        before the server itself was lost) is dropped. Raises TrainingDiverged for a loss or gradient that is
        no number.
        """
        if self._clock is None:
            self._clock = time.perf_counter() - self._progress.seconds
        async with self._changed:
            if worker in self._lost:
                return None
            if push is not None and self._out.get(worker) == push.work[0]:
                self._apply(worker, push)
                del self._out[worker]
                self._clocks[worker] = self._clocks.get(worker, 0) + 1
                self._changed.notify_all()
            # One that joins late (in place of a lost worker) is not behind the others.
            self._clocks.setdefault(worker, min(self._clocks.values(), default=0))
            started = time.perf_counter()
            await self._changed.wait_for(lambda: self._may_go(worker))
            self._blocked += time.perf_counter() - started
            batch = None if worker in self._lost else self._take()
            if batch is None:
                self._clocks.pop(worker, None)
                self._changed.notify_all()
                return None
            self._out[worker] = batch
            return Work(batch, self._progress.step, self._flat.master.numpy().copy())

    async def forget(self, worker: int) -> int:
        """A worker is lost: its batch is for another, and nobody waits for it. Returns the update."""
        async with self._changed:
            self._lost.add(worker)
            if worker in self._out:
                self._waiting.append(self._out.pop(worker))
            self._clocks.pop(worker, None)
            self._changed.notify_all()
            return self._progress.step

    async def finish(self) -> dict[str, Any]:
        """Save the state; returns what was measured and the weights at the evaluation steps."""
        self._save()
        self._metrics.close()
        progress = self._progress
        self.snapshots.setdefault(progress.step, self._flat.master.numpy().copy())
        total = sum(self._staleness.values())
        return {
            "steps": progress.step, "tokens": progress.tokens, "target_tokens": progress.target_tokens,
            "padding_share": 1 - progress.tokens / max(progress.positions, 1), "seconds": progress.seconds,
            "timed_rows": self._rows, "blocked_seconds": self._blocked,
            "server_peak_rss_bytes": hardware.peak_rss_bytes(),
            "staleness": {
                "mean": sum(k * n for k, n in self._staleness.items()) / max(total, 1),
                "max": max(self._staleness, default=0),
                "histogram": {str(k): self._staleness[k] for k in sorted(self._staleness)},
            },
            "snapshots": self.snapshots,
        }  # fmt: skip

    def _may_go(self, worker: int) -> bool:
        bound = self._settings.server.staleness_bound
        if bound is None or worker in self._lost:
            return True
        return self._clocks[worker] - min(self._clocks.values()) <= bound

    def _take(self) -> int | None:
        if self._waiting:
            return self._waiting.pop(0)
        if self._next >= self._steps:
            return None
        self._next += 1
        return self._next - 1

    def _apply(self, worker: int, push: Push) -> None:
        progress, settings = self._progress, self._settings
        staleness = progress.step - push.work[1]
        rate = settings.optimizer.rate_at(progress.step, self._steps)
        if settings.server.staleness_aware:
            rate /= max(1, staleness)
        self._flat.grad.copy_(torch.from_numpy(push.gradient.copy()))
        norm = self._flat.grad_norm()
        if not (math.isfinite(push.loss) and math.isfinite(norm)):
            raise TrainingDiverged(
                f"training diverged at push {progress.step + 1} (staleness {staleness}): loss {push.loss}, "
                f"gradient norm {norm}, learning rate {rate:.2e}; lower optimizer.lr, set "
                "server.staleness_bound or server.staleness_aware; then start again with --fresh"
            )
        (self._sgd or self._flat).update(rate, norm)
        self._staleness[staleness] += 1
        progress.step += 1
        progress.tokens += push.tokens
        progress.positions += push.positions
        progress.target_tokens += push.target_tokens
        progress.seconds = time.perf_counter() - (self._clock or 0.0)
        self._rows += push.rows
        self._metrics.write({
            "step": progress.step, "rows": progress.step * push.rows, "tokens": progress.tokens,
            "loss": push.loss, "lr": rate, "grad_norm": norm, "staleness": staleness, "worker": worker,
            "batch": push.work[0], "seconds": progress.seconds,
        })  # fmt: skip
        last = progress.step == self._steps
        if last or progress.step % settings.evaluation.every == 0:
            self.snapshots[progress.step] = self._flat.master.numpy().copy()
        if not last and progress.step % settings.checkpoint.every == 0:
            self._save(pushed=push.work[0])

    def _save(self, pushed: int | None = None) -> None:
        """Write a checkpoint; batches that are out count as not done (except for the one just pushed)."""
        out = [batch for batch in self._out.values() if batch != pushed]
        state = named_state(self._flat, self._model)
        state["pending"] = torch.tensor(sorted([*self._waiting, *out]), dtype=torch.int64)
        if self._sgd and (velocity := self._sgd.velocity()) is not None:
            state["velocity"] = velocity.clone()
        self._checkpoints.save(self._progress, state)

    def _restore(self) -> None:
        newest = self._checkpoints.newest()
        if newest is None:
            return
        self._progress, state = self._checkpoints.load(newest)
        if "pending" not in state:
            raise DistributedError(f"{newest}: is of a synchronous run; choose another --output or --fresh")
        self._waiting = state["pending"].tolist()
        load_named_state(self._flat, self._model, state)
        if self._sgd and "velocity" in state:
            self._sgd.load_velocity(state["velocity"])
