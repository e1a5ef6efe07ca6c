"""Fully sharded data parallel (FSDP2; Zhao et al. 2023, and ZeRO stage 3, Rajbhandari et al. 2020).

Each worker keeps a part of every weight, gradient and moment. A block's weights are gathered just before
they are used and dropped after it; gradients are summed and scattered at once.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from training.distributed.config import DistributedConfig
from training.distributed.state import MOMENTS
from training.distributed.world import ScoredModel, World, loss_of
from training.model import Llama
from training.packing import Batch


class Shards:
    """A model of which every worker holds one part."""

    counts_rows = True

    def __init__(self, model: Llama, settings: DistributedConfig, dtype: torch.dtype, world: World) -> None:
        self._world = world
        self._settings = settings.optimizer
        self._mesh = init_device_mesh(world.device.type, (world.size,))
        policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
        self._scored = ScoredModel(model.to(world.device))
        for part in (*model.blocks, self._scored):
            module = cast(FSDPModule, fully_shard(part, mesh=self._mesh, mp_policy=policy))
            # The loss is divided by all target tokens already, so gradients are summed; gloo knows no mean.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
        self._named = dict(model.named_parameters())
        decays = [p for p in self._named.values() if p.dim() > 1]
        others = [p for p in self._named.values() if p.dim() <= 1]
        groups = [
            {"params": decays, "weight_decay": self._settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        config = self._settings
        self._adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)

    def step(self, batches: list[Batch], targets: int, rate: float) -> tuple[float, float]:
        """See `Strategy.step`."""
        loss = 0.0
        for batch in batches:
            part = loss_of(self._scored, batch) / targets
            part.backward()  # type: ignore[no-untyped-call]
            loss += part.item()
        gradients = [_local(p.grad) for p in self._named.values() if p.grad is not None]
        squares = sum(float(g.square().sum()) for g in gradients)
        loss, square = self._world.sum(loss, squares)
        norm = math.sqrt(square) if square >= 0 else math.nan
        if math.isfinite(loss) and math.isfinite(norm):
            self._update(gradients, rate, norm)
        return loss, norm

    def loss(self, batch: Batch) -> float:
        """See `Strategy.loss`."""
        with torch.no_grad():
            return loss_of(self._scored, batch).item()

    def state(self) -> dict[str, Tensor]:
        """See `Strategy.state`; gathering takes every worker."""
        state: dict[str, Tensor] = {}
        for name, parameter in self._named.items():
            moments = self._adamw.state.get(parameter, {})
            tensors = {"weights": parameter, **{key: moments[key] for key in MOMENTS if key in moments}}
            for kind, tensor in tensors.items():
                whole = cast(DTensor, tensor).full_tensor().detach().cpu()
                if self._world.rank == 0:
                    state[f"{kind}.{name}"] = whole.clone()
            if "step" in moments:
                state["step"] = moments["step"].detach().cpu().clone()
        return state

    def load(self, state: dict[str, Tensor]) -> None:
        """See `Strategy.load`."""
        with torch.no_grad():
            for name, parameter in self._named.items():
                parameter.copy_(self._shard(state[f"weights.{name}"], parameter))
                if "step" in state:
                    moments: dict[str, Any] = {"step": state["step"].clone()}
                    moments |= {key: self._shard(state[f"{key}.{name}"], parameter) for key in MOMENTS}
                    self._adamw.state[parameter] = moments

    def figures(self) -> dict[str, float]:
        """Bytes of this worker's weights, gradients and moments."""
        own = sum(_local(p).numel() for p in self._named.values())
        return {"state_bytes": float(own * 4 * 4)}

    def _update(self, gradients: list[Tensor], rate: float, norm: float) -> None:
        if norm > self._settings.clip_norm:
            for gradient in gradients:
                gradient.mul_(self._settings.clip_norm / norm)
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
        self._adamw.zero_grad()

    def _shard(self, whole: Tensor, like: nn.Parameter) -> Tensor:
        placed = cast(DTensor, like)
        # Every worker has read the whole tensor: nothing needs to be sent.
        return distribute_tensor(
            whole.to(self._world.device), self._mesh, placed.placements, src_data_rank=None
        )


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
