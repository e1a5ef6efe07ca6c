"""The distillation loss straight from hidden states; no logits outlive a slice of the positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.loop import next_token_loss
from training.loss import SLICE_POSITIONS, counted_positions
from training.model import Llama
from training.packing import Batch


class Distillation:
    """Objective of a student: `share` of it is T^2 KL(teacher || student) at temperature T, the rest is
    cross-entropy. T^2 keeps the gradient's size independent of the temperature (Hinton et al. 2015).

    In evaluation mode it is the plain cross-entropy, so that dev losses compare with those of any other job.
    """

    def __init__(self, teacher: Llama, temperature: float, share: float) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.temperature = temperature
        self.share = share

    def __call__(self, student: Llama, batch: Batch) -> Tensor:
        """Summed loss over the batch's targets, in nats."""
        if not student.training:
            return next_token_loss(student, batch)
        with torch.no_grad():
            taught = self.teacher(batch.tokens, batch.positions, batch.visible).flatten(0, 1)
        hidden = student(batch.tokens, batch.positions, batch.visible).flatten(0, 1)
        return distillation_sum(
            hidden, student.embedding.weight, taught, self.teacher.embedding.weight, batch.targets.flatten(),
            self.temperature, self.share,
        )  # fmt: skip


def distillation_sum(
    hidden: Tensor, output: Tensor, taught: Tensor, teacher_output: Tensor, targets: Tensor,
    temperature: float, share: float,
) -> Tensor:  # fmt: skip
    """Summed loss (float32, nats) over the targets that are not IGNORED.

    Student: hidden [N, H] and output matrix [V, H]; teacher: taught [N, G] and teacher_output [V, G]; targets
    [N]. The teacher gets no gradient.
    """
    counted, weights = counted_positions(targets)
    return _Distillation.apply(  # type: ignore[no-any-return,no-untyped-call]
        hidden[counted], output, taught[counted], teacher_output, targets[counted].clamp(min=0), weights,
        temperature, share,
    )  # fmt: skip


class _Distillation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, output: Tensor, taught: Tensor, teacher_output: Tensor, targets: Tensor,
        weights: Tensor, temperature: float, share: float,
    ) -> Tensor:  # fmt: skip
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden, grad_output = torch.empty_like(hidden), torch.zeros_like(output)
        for start in range(0, len(targets), SLICE_POSITIONS):
            part = slice(start, start + SLICE_POSITIONS)
            target, weight = targets[part, None], weights[part, None]
            logits = (hidden[part] @ output.t()).float()
            teacher = torch.log_softmax((taught[part] @ teacher_output.t()).float() / temperature, dim=-1)
            student = torch.log_softmax(logits / temperature, dim=-1)
            divergence = (teacher.exp() * (teacher - student)).sum(-1, keepdim=True)
            log_probabilities = torch.log_softmax(logits, dim=-1)
            surprise = -log_probabilities.gather(1, target)
            loss += ((share * temperature**2 * divergence + (1 - share) * surprise) * weight).sum()
            # d (T^2 KL) / d logits = T (student_T - teacher_T); d CE / d logits = softmax - one-hot(target)
            slope = (student.exp() - teacher.exp()) * (share * temperature)
            slope += log_probabilities.exp() * (1 - share)
            slope.scatter_add_(1, target, slope.new_full(target.shape, share - 1))
            slope = (slope * weight).to(hidden.dtype)
            grad_hidden[part] = slope @ output
            grad_output += slope.t() @ hidden[part]
        ctx.save_for_backward(grad_hidden, grad_output)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = grad_outputs
        hidden, output = (grad * scale.to(grad.dtype) for grad in ctx.saved_tensors)
        return hidden, output, None, None, None, None, None, None
