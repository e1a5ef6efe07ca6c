"""AdamW over one flat float32 copy of the weights, and the learning-rate schedule.

The model computes in bf16, the optimizer keeps float32 "master" weights. All trainable parameters are views
of one flat buffer, and their gradients are summed in another: gradient norm, clipping, update and the copy
back are a handful of operations over one long vector instead of several for each matrix.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from common.config import StrictModel


class OptimizerConfig(StrictModel):
    """AdamW (Loshchilov and Hutter 2019) with warm-up and decay."""

    lr: float = Field(gt=0)
    """Peak learning rate."""
    min_lr_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the peak that is left at the last step."""
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the rate rises from nothing."""
    schedule: Literal["cosine", "linear", "wsd"] = "cosine"
    """Fall after warm-up; `wsd` (warm-up, stable, decay) stays at the peak until `decay_share` of the steps
    is left."""
    decay_share: float = Field(default=0.3, gt=0, le=1)
    """Length of the fall of `wsd`."""
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    """On matrices only; norms are left alone."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""

    def rate_at(self, step: int, total_steps: int) -> float:
        """Learning rate of 0-based `step`."""
        warmup = max(1, round(self.warmup_share * total_steps))
        if step < warmup:
            return self.lr * (step + 1) / warmup
        start = warmup
        if self.schedule == "wsd":
            start = max(warmup, round((1 - self.decay_share) * total_steps))
            if step < start:
                return self.lr
        done = (step - start) / max(1, total_steps - start)
        left = 0.5 * (1 + math.cos(math.pi * done)) if self.schedule == "cosine" else 1 - done
        return self.lr * (self.min_lr_share + (1 - self.min_lr_share) * left)


class FlatAdamW:
    """Owns the master weights of a model's trainable parameters, which become views of one `dtype` buffer."""

    def __init__(self, model: nn.Module, config: OptimizerConfig, dtype: torch.dtype) -> None:
        trainable = [p for p in model.parameters() if p.requires_grad]
        # Matrices first: weight decay is for them alone.
        ordered = [p for p in trainable if p.dim() > 1] + [p for p in trainable if p.dim() <= 1]
        decayed = sum(p.numel() for p in trainable if p.dim() > 1)
        self.config = config
        names = {p: name for name, p in model.named_parameters()}
        self._names = [names[p] for p in ordered]
        self.master = torch.cat([p.detach().float().flatten() for p in ordered])
        self.grad = torch.zeros_like(self.master)
        self._weights = self.master if dtype == torch.float32 else self.master.to(dtype)
        self._trained = list(zip(ordered, _views(self.grad, ordered), strict=True))
        for parameter, view in zip(ordered, _views(self._weights, ordered), strict=True):
            parameter.data = view
        model.to(dtype)  # buffers and frozen parameters follow; the views are of this dtype already
        self._empty = True

        self._parts = [self.master[:decayed], self.master[decayed:]]
        for part, grad in zip(self._parts, (self.grad[:decayed], self.grad[decayed:]), strict=True):
            part.grad = grad
        decays = (config.weight_decay, 0.0)
        groups = [
            {"params": [part], "weight_decay": decay} for part, decay in zip(self._parts, decays, strict=True)
        ]
        self._adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)

    def collect(self) -> None:
        """Add the gradients of one backward pass to the float32 sum; call after each micro-batch."""
        for parameter, total in self._trained:
            if parameter.grad is None:
                if self._empty:
                    total.zero_()
            elif self._empty:
                total.copy_(parameter.grad)
            else:
                total += parameter.grad
            parameter.grad = None  # so that the next pass hands its result over and adds nothing
        self._empty = False

    def grad_norm(self) -> float:
        """Norm of the summed gradients."""
        return float(torch.linalg.vector_norm(self.grad))

    def update(self, rate: float, norm: float) -> None:
        """Clip by `norm`, take one step at learning rate `rate`, clear the gradients."""
        if norm > self.config.clip_norm:
            self.grad *= self.config.clip_norm / norm
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
        self._empty = True
        self._sync()

    def master_weights(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's state dict in float32, from the master weights where it was trained."""
        result = {name: tensor.detach().float().cpu() for name, tensor in model.state_dict().items()}
        trained = [parameter for parameter, _ in self._trained]
        return result | dict(zip(self._names, _views(self.master.cpu(), trained), strict=True))

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on."""
        state = {"master": self.master}
        for index, part in enumerate(self._parts):
            for key, value in self._adamw.state.get(part, {}).items():
                state[f"adamw.{index}.{key}"] = value
        return state

    def load_state_tensors(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_tensors` gave. Raises KeyError or RuntimeError for another model's state."""
        self.master.copy_(state["master"])
        for index, part in enumerate(self._parts):
            prefix = f"adamw.{index}."
            loaded = {
                key.removeprefix(prefix): value.clone()
                for key, value in state.items()
                if key.startswith(prefix)
            }
            if loaded:
                self._adamw.state[part] = loaded
        self._sync()

    def _sync(self) -> None:
        if self._weights is not self.master:
            self._weights.copy_(self.master)


def _views(flat: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    pieces = torch.split(flat, [p.numel() for p in parameters])
    return [piece.view(p.shape) for piece, p in zip(pieces, parameters, strict=True)]
