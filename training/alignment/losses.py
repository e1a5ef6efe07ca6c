"""The losses of policy optimisation, per token: clipped policy loss, clipped value loss, KL estimator.

All tensors are flat, [N] tokens.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["tokens", "answers", "sums"]


def clipped_policy_loss(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """PPO's loss (Schulman et al. 2017, arXiv 1707.06347, eq. 7), to be minimised; [N].

        ratio = pi(token) / pi_old(token)
        loss  = -min(ratio * advantage, clamp(ratio, 1 - clip, 1 + clip) * advantage)

    The clamp takes the gain, and so the gradient, from tokens that have moved far enough already.
    """
    ratio = torch.exp(log_probs - old_log_probs)
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def clipped_share(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Share of tokens whose gradient the clamp has taken, a scalar."""
    ratio = torch.exp(log_probs - old_log_probs)
    beyond = torch.where(advantages > 0, ratio > 1 + clip, ratio < 1 - clip)
    return beyond.float().mean()


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the squared error of the values, which may move by `clip` per rollout; [N].

    As in OpenAI's PPO and Ziegler et al. 2019 (arXiv 1909.08593): the worse of clipped and plain error.
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def kl_k3(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """Unbiased, never negative estimate of KL(pi || reference) from a token drawn from pi; [N].

        exp(d) - d - 1 with d = log reference - log pi                (Schulman 2020, "Approximating KL
    divergence"; the form that GRPO puts into its loss).
    """
    difference = reference_log_probs - log_probs
    return torch.exp(difference) - difference - 1


def reduce(losses: Tensor, owners: Tensor, answers: int, how: Reduction) -> Tensor:
    """One number from token losses [N]; `owners` [N] says which of the `answers` a token belongs to.

    `tokens`: mean over tokens (PPO). `answers`: mean within each answer, then over answers (GRPO). `sums`:
    sum within each answer, then the mean over answers (RLOO: an answer is one action).
    """
    if how == "tokens":
        return losses.mean()
    sums = losses.new_zeros(answers).index_add(0, owners, losses)
    if how == "sums":
        return sums.mean()
    lengths = torch.bincount(owners, minlength=answers).clamp(min=1)
    return (sums / lengths).mean()
