"""Cross-entropy straight from hidden states: the logits live only for a slice of the positions at a time.

The gradient is computed together with the loss, so that neither the logits nor their softmax are kept for the
backward pass (the idea of Liger Kernel's fused linear cross-entropy, arXiv 2410.10989).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""Target of a position that carries no loss (prompt, padding)."""
SLICE_POSITIONS = 512
"""Positions whose logits exist at once."""
ROUNDING = 512
"""Counted positions are filled up to a multiple of this, so that shapes hardly vary: oneDNN builds and keeps
a kernel for each new one, which costs time and gigabytes."""


def cross_entropy_sum(hidden: Tensor, output: Tensor, targets: Tensor) -> Tensor:
    """Summed negative log-likelihood (nats, float32) of `targets`, skipping those that are IGNORED.

    hidden [N, H], output matrix [V, H], targets [N]. Only counted positions are multiplied with `output`.
    """
    if len(targets) % ROUNDING == 0 and bool((targets != IGNORED).all()):  # pretraining: nothing to gather
        weights = hidden.new_ones(len(targets), dtype=torch.float32)
    else:
        counted, weights = counted_positions(targets)
        hidden, targets = hidden.index_select(0, counted), targets[counted].clamp(min=0)
    return _LinearCrossEntropy.apply(hidden, output, targets, weights)  # type: ignore[no-any-return,no-untyped-call]


def counted_positions(targets: Tensor) -> tuple[Tensor, Tensor]:
    """The places of `targets` [N] that carry loss, filled up to a multiple of ROUNDING, and their weights (1,
    or 0 for the filling); both [M]."""
    counted = (targets != IGNORED).nonzero().squeeze(1)
    filling = -len(counted) % ROUNDING
    counted = torch.cat((counted, counted.new_zeros(filling)))
    return counted, (torch.arange(len(counted), device=targets.device) < len(counted) - filling).float()


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, output: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        wants_gradient = any(ctx.needs_input_grad[:2])
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_gradient else None
        grad_output: Tensor | None = None
        for start in range(0, len(targets), SLICE_POSITIONS):
            part = slice(start, start + SLICE_POSITIONS)
            target, weight = targets[part, None], weights[part, None]
            logits = (hidden[part] @ output.t()).float()
            logits -= logits.amax(-1, keepdim=True)
            wanted = logits.gather(1, target)
            raised = logits.exp_()
            total = raised.sum(-1, keepdim=True)
            loss += ((total.log() - wanted) * weight).sum()
            if grad_hidden is not None:
                # d loss / d logits = weight * (raised / total - one-hot(target)); what a whole row has in
                # common is left to the narrow matrices.
                slope = raised.scatter_add_(1, target, -total).to(hidden.dtype)
                share = weight / total
                grad_hidden[part] = (slope @ output) * share
                if ctx.needs_input_grad[1]:  # not where the output matrix is frozen
                    product = slope.t() @ (hidden[part] * share).to(hidden.dtype)
                    grad_output = product if grad_output is None else grad_output.add_(product)
        ctx.save_for_backward(grad_hidden, grad_output)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (scale,) = grad_outputs
        grad_hidden, grad_output = (
            None if grad is None else grad * scale.to(grad.dtype) for grad in ctx.saved_tensors
        )
        return grad_hidden, grad_output, None, None
