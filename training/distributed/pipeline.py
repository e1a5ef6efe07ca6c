"""Pipeline parallel: the layers are cut into stages, one a worker, and micro-batches flow through them.

With p stages and m micro-batches a stage idles for (p - 1) / (m + p - 1) of a step (Huang et al. 2019), if
all stages take equally long and sending takes no time; what is measured here contains both.

The embedding is also the output matrix: the first and the last stage have a copy each, and sum its gradient
(as Megatron-LM does; Shoeybi et al. 2019).
"""

from __future__ import annotations

import math
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

from training.attention import additive_mask
from training.distributed.config import DistributedConfig, DistributedError
from training.distributed.state import load_named_state, named_state
from training.distributed.world import World
from training.loss import cross_entropy_sum
from training.model import Llama
from training.optim import FlatAdamW
from training.packing import Batch

SCHEDULES = {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}


def formula_bubble(stages: int, micro_batches: int) -> float:
    """Share of a step that a stage idles, in theory."""
    return (stages - 1) / (micro_batches + stages - 1)


def cut_layers(model: Llama, stages: int) -> list[range]:
    """Consecutive layers of each stage, such that the heaviest stage is as light as can be.

    Work is counted in weights; the output matrix, at the last stage, counts as some layers do. Raises
    DistributedError for more stages than layers.
    """
    layers = len(model.blocks)
    if stages > layers:
        raise DistributedError(
            f"a pipeline of {stages} workers needs as many layers, the model has {layers}; take fewer "
            "workers or a deeper model"
        )
    head = model.embedding.weight.numel() / sum(p.numel() for p in model.blocks[0].parameters())
    best: dict[tuple[int, int], tuple[float, list[range]]] = {(0, 0): (0.0, [])}
    for stage in range(1, stages + 1):
        extra = head if stage == stages else 0.0
        for end in range(stage, layers + 1):
            ways = [
                (max(weight, end - start + extra), [*parts, range(start, end)])
                for (n, start), (weight, parts) in best.items()
                if n == stage - 1 and start < end
            ]
            if ways:
                best[stage, end] = min(ways, key=lambda way: way[0])
    return best[stages, layers][1]


class Stage(nn.Module):
    """Some layers of a Llama, with its parameters' own names."""

    def __init__(self, model: Llama, layers: range, *, first: bool, last: bool) -> None:
        super().__init__()
        self.first, self.last = first, last
        if first or last:
            self.embedding = model.embedding  # first of all, so that it begins FlatAdamW's vectors
        self.blocks = nn.ModuleDict({str(index): model.blocks[index] for index in layers})
        if last:
            self.norm = model.norm
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", model.cos, persistent=False)
        self.register_buffer("sin", model.sin, persistent=False)

    def forward(self, x: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """Token ids [B, T] (first stage) or hidden states [B, T, H] to hidden states [B, T, H]."""
        x = self.embedding(x) if self.first else x
        rope = (self.cos[positions][:, :, None], self.sin[positions][:, :, None])
        mask = additive_mask(visible, x.dtype)
        for block in self.blocks.values():
            x = block(x, rope, mask)
        return self.norm(x) if self.last else x


class TimedStage(PipelineStage):
    """A stage that adds up the seconds it computes."""

    busy = 0.0

    def forward_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        """See PipelineStage."""
        return self.timed(super().forward_one_chunk, *args, **kwargs)

    def backward_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        """See PipelineStage."""
        return self.timed(super().backward_one_chunk, *args, **kwargs)

    def timed(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call and count; waits for a GPU, whose work would otherwise be counted at the next wait."""
        started = time.perf_counter()
        result = function(*args, **kwargs)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.busy += time.perf_counter() - started
        return result


class Pipeline:
    """One stage of a pipeline over all workers."""

    def __init__(self, model: Llama, settings: DistributedConfig, dtype: torch.dtype, world: World) -> None:
        layers = cut_layers(model, world.size)[world.rank]
        self._world = world
        self.counts_rows = world.rank == 0  # every stage sees the same rows
        self._first, self._last = world.rank == 0, world.rank == world.size - 1
        self._module = Stage(model, layers, first=self._first, last=self._last).to(world.device)
        self._optimizer = FlatAdamW(self._module, settings.optimizer, dtype)
        self._tied = model.embedding.weight.numel()
        self._ends = dist.new_group([0, world.size - 1])
        self._stage = TimedStage(self._module, world.rank, world.size, world.device)
        kind: Any = SCHEDULES[settings.pipeline.schedule]
        self._targets = 1
        self._schedule = kind(
            self._stage, settings.pipeline.micro_batches, loss_fn=self._loss_of, scale_grads=False
        )
        self._steps, self._busy, self._span = 0, 0.0, 0.0

    def step(self, batches: list[Batch], targets: int, rate: float) -> tuple[float, float]:
        """See `Strategy.step`."""
        self._targets = targets
        loss = 0.0
        dist.barrier()  # so that all stages measure from the same moment
        started, self._stage.busy = time.perf_counter(), 0.0
        for batch in batches:
            loss += self._run(self._schedule.step, batch)
        span, busy = time.perf_counter() - started, self._stage.busy
        self._optimizer.collect()
        tied = self._optimizer.grad[: self._tied]
        if self._first or self._last:
            dist.all_reduce(tied, group=self._ends)
        own = self._optimizer.grad[self._tied :] if self._last else self._optimizer.grad
        loss, square = self._world.sum(loss, float(own.square().sum()))
        norm = math.sqrt(square) if square >= 0 else math.nan
        if math.isfinite(loss) and math.isfinite(norm):
            self._optimizer.update(rate, norm)
        if self._steps:  # the first step also builds buffers and connections
            self._busy, self._span = self._busy + busy, self._span + span
        self._steps += 1
        return loss, norm

    def loss(self, batch: Batch) -> float:
        """See `Strategy.loss`; the last stage has it."""
        self._targets = 1
        with torch.no_grad():
            return self._run(self._schedule.eval, batch)

    def state(self) -> dict[str, Tensor]:
        """See `Strategy.state`; the parts are sent to rank 0."""
        own = named_state(self._optimizer, self._module)
        parts: list[Any] | None = [None] * self._world.size if self._first else None
        dist.gather_object(own, parts)
        return {name: tensor for part in parts or [] for name, tensor in part.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """See `Strategy.load`."""
        load_named_state(self._optimizer, self._module, state)

    def figures(self) -> dict[str, float]:
        """Seconds of computing and of whole steps; bytes of this stage's weights, gradients and moments."""
        return {
            "busy_seconds": self._busy, "span_seconds": self._span,
            "state_bytes": float(self._optimizer.master.numel() * 4 * 4),
        }  # fmt: skip

    def _run(self, step: Any, batch: Batch) -> float:
        """One pass of all micro-batches; the loss at the last stage, 0 elsewhere."""
        losses: list[Tensor] = []
        inputs = [batch.tokens] if self._first else []
        target = batch.targets if self._last else None
        step(
            *inputs, target=target, losses=losses if self._last else None, positions=batch.positions,
            visible=batch.visible, return_outputs=False,
        )  # fmt: skip
        return sum(loss.item() for loss in losses)

    def _loss_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        def loss() -> Tensor:
            weight = self._module.embedding.weight
            return cross_entropy_sum(hidden.flatten(0, 1), weight, targets.flatten()) / self._targets

        result: Tensor = self._stage.timed(loss)
        return result


def require_shape(settings: DistributedConfig) -> None:
    """Raise DistributedError where rows, micro-batches and stages do not fit together."""
    parts, rows, stages = settings.pipeline.micro_batches, settings.batch.rows, settings.workers
    if stages < 2:
        raise DistributedError("a pipeline needs at least 2 workers, one a stage; --set workers=2")
    if rows % parts:
        raise DistributedError(
            f"batch.rows = {rows} cannot be cut into pipeline.micro_batches = {parts} equal parts; choose a "
            "divisor"
        )
    if settings.pipeline.schedule == "1f1b" and parts < stages:
        raise DistributedError(
            f"1F1B needs at least as many micro-batches as stages ({parts} < {stages}); raise "
            "pipeline.micro_batches, or take pipeline.schedule=gpipe"
        )
