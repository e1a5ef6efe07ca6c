"""How much better than expected was an action? Three answers: GAE, leave-one-out, group-normalised.

Shapes: A answers of at most T tokens, `mask` [A, T] is True on the tokens that exist; P prompts with K
answers each.
"""

from __future__ import annotations

import torch
from torch import Tensor

_EPS = 1e-4
"""Beside it the rounding error of a group of equal rewards is nothing."""


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438); all [A, T].

        delta_t     = r_t + gamma * V_{t+1} - V_t         (V is 0 behind the last token)
        advantage_t = delta_t + gamma * lam * advantage_{t+1}
        return_t    = advantage_t + V_t

    Returns (advantages, returns), 0 where `mask` is False.
    """
    advantages = torch.zeros_like(rewards)
    following_value = torch.zeros_like(rewards[:, 0])
    following_advantage = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * following_value - values[:, t]
        here = delta + gamma * lam * following_advantage
        following_advantage = torch.where(mask[:, t], here, 0.0)
        following_value = torch.where(mask[:, t], values[:, t], 0.0)
        advantages[:, t] = following_advantage
    return advantages, (advantages + values) * mask


def leave_one_out(rewards: Tensor) -> Tensor:
    """RLOO (Ahmadian et al. 2024, arXiv 2402.14740): a reward less the mean of the K - 1 others; [P, K]."""
    k = rewards.shape[1]
    return (rewards - rewards.mean(dim=1, keepdim=True)) * k / (k - 1)


def group_normalised(rewards: Tensor, *, scale_by_std: bool = True) -> Tensor:
    """GRPO (Shao et al. 2024, arXiv 2402.03300): rewards less the group's mean, over its standard deviation.

    [P, K]. A group of equal rewards gets 0. Without `scale_by_std` easy and hard prompts keep their weight
    (Liu et al. 2025, arXiv 2503.20783).
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    return centred / (rewards.std(dim=1, keepdim=True) + _EPS) if scale_by_std else centred


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the masked entries; the others become 0."""
    chosen = values[mask]
    scaled = (values - chosen.mean()) / (chosen.std(correction=0) + _EPS)
    return torch.where(mask, scaled, 0.0)
