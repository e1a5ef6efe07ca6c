"""The workers of a job as one of them sees them, and what every strategy must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.loss import cross_entropy_sum
from training.model import Llama
from training.packing import Batch


@dataclass(frozen=True, slots=True)
class World:
    """Rank and number of workers, and the device of this one."""

    rank: int
    size: int
    device: torch.device

    def sum(self, *values: float) -> list[float]:
        """Sums over all workers; every worker must call it."""
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def gather(self, value: object) -> list[object]:
        """The values of all workers in order of rank; every worker must call it."""
        values: list[object] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


class Strategy(Protocol):
    """One way to take a step on several workers. All methods are called by every worker, in step."""

    counts_rows: bool
    """Whether the rows that this worker sees are its own (and so count), or also seen by another."""

    def step(self, batches: list[Batch], targets: int, rate: float) -> tuple[float, float]:
        """One optimizer step; `targets` is the number of target tokens over all workers.

        Returns the mean loss per target token and the gradient norm of the whole batch, on all workers alike.
        """

    def loss(self, batch: Batch) -> float:
        """This worker's part of the summed loss of a batch, without gradients."""

    def state(self) -> dict[str, Tensor]:
        """The whole state by name (`training/distributed/state.py`) on rank 0; elsewhere it may be empty."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a whole state."""

    def figures(self) -> dict[str, float]:
        """What this worker measured: seconds of waiting, bytes of state, …"""


class ScoredModel(nn.Module):
    """A model whose forward pass is the summed loss.

    torch's wrappers watch `forward`: the output matrix, which is the embedding, must be used inside of it.
    """

    def __init__(self, model: Llama) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, positions: Tensor, visible: Tensor, targets: Tensor) -> Tensor:
        """Summed cross-entropy of `targets` [B, T], in nats."""
        hidden = self.model(tokens, positions, visible)
        return cross_entropy_sum(hidden.flatten(0, 1), self.model.embedding.weight, targets.flatten())


def loss_of(module: nn.Module, batch: Batch) -> Tensor:
    """The summed loss of a batch by a (wrapped) ScoredModel."""
    loss: Tensor = module(batch.tokens, batch.positions, batch.visible, batch.targets)
    return loss
