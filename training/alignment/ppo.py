"""PPO, RLOO and GRPO: what is done with a rollout.

    sample answers -> reward -> advantages -> a few passes of clipped updates

The three differ in two places. Where the advantage comes from: a learned value and GAE (PPO: Schulman et al.
2017, Ziegler et al. 2019), the other answers to the same input (RLOO, GRPO). Where the distance to the
reference is charged: in the reward, per token (PPO) or per answer (RLOO), or in the loss (GRPO). Left out on
purpose: adaptive KL control, reward whitening, a separate value network (Ziegler et al. share the trunk too).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.alignment.advantages import gae, group_normalised, leave_one_out, whiten
from training.alignment.config import RlhfConfig
from training.alignment.losses import (
    Reduction,
    clipped_policy_loss,
    clipped_share,
    clipped_value_loss,
    kl_k3,
    reduce,
)
from training.alignment.rollout import Rollout
from training.alignment.sequences import TokenScores, chunks, score_tokens, states_of
from training.model import Llama
from training.packing import Batch

REDUCTION: dict[str, Reduction] = {"ppo": "tokens", "grpo": "answers", "rloo": "sums"}


class Policy(nn.Module):
    """The language model and, for PPO, a value head on its hidden states."""

    def __init__(self, model: Llama, *, with_value: bool) -> None:
        super().__init__()
        self.model = model
        self.value = nn.Linear(model.config.hidden_size, 1) if with_value else None
        if self.value is not None:
            nn.init.zeros_(self.value.weight)
            nn.init.zeros_(self.value.bias)

    def values(self, hidden: Tensor) -> Tensor:
        """Expected reward [N] of the states [N, H] before each token."""
        if self.value is None:
            return hidden.new_zeros(len(hidden))
        return self.value(hidden)[:, 0]  # type: ignore[no-any-return]


@dataclass(slots=True)
class Experience:
    """A rollout with what the updates need, each [A, T]."""

    rollout: Rollout
    advantages: Tensor
    values: Tensor
    returns: Tensor


def token_rewards(rollout: Rollout, kl_coef: float) -> Tensor:
    """PPO's rewards [A, T]: -kl_coef * log-ratio at each token, and the answer's reward at its last one."""
    rewards = -kl_coef * (rollout.log_probs - rollout.reference_log_probs) * rollout.mask
    last = rollout.rows.lengths - 1
    rewards[torch.arange(len(last)), last] += rollout.rewards
    return rewards


def experience_of(policy: Policy, rollout: Rollout, config: RlhfConfig, device: torch.device) -> Experience:
    """Advantages (and values) of a rollout."""
    none = torch.zeros_like(rollout.log_probs)
    if config.algorithm == "ppo":
        values = _values(policy, rollout, config.rows, device)
        rewards = token_rewards(rollout, config.kl_coef)
        advantages, returns = gae(rewards, values, rollout.mask, config.gamma, config.gae_lambda)
        return Experience(rollout, whiten(advantages, rollout.mask), values, returns)
    rewards = rollout.rewards
    if config.algorithm == "rloo":
        by_group = leave_one_out((rewards - config.kl_coef * rollout.kl).view(-1, config.answers))
    else:
        by_group = group_normalised(rewards.view(-1, config.answers), scale_by_std=config.scale_by_std)
    return Experience(rollout, by_group.reshape(-1, 1) * rollout.mask, none, none)


@torch.no_grad()
def _values(policy: Policy, rollout: Rollout, rows_per_batch: int, device: torch.device) -> Tensor:
    """The value head's opinion before each token, [A, T]."""
    values = torch.zeros_like(rollout.log_probs)
    for rows in chunks(rollout.rows.epoch(0), rows_per_batch):
        batch, numbers = rollout.rows.batch(rows, device)
        hidden, _ = states_of(policy.model, batch)
        part = torch.zeros_like(values[numbers])
        part[rollout.mask[numbers]] = policy.values(hidden).cpu()
        values[numbers] = part
    return values


def policy_loss(
    policy: Policy, experience: Experience, batch: Batch, numbers: Tensor, config: RlhfConfig
) -> tuple[Tensor, dict[str, float]]:
    """The loss of one minibatch (answers `numbers` [a] of the rollout) and what to report of it."""
    rollout, device = experience.rollout, batch.tokens.device
    kind = "train" if config.entropy_coef else "report"
    scores = score_tokens(policy.model, batch, config.sampling.temperature, entropy=kind)  # type: ignore[arg-type]
    old = rollout.flat(rollout.log_probs, numbers).to(device)
    advantages = rollout.flat(experience.advantages, numbers).to(device)
    owners = rollout.rows.owners(numbers).to(device)
    losses = clipped_policy_loss(scores.log_probs, old, advantages, config.clip)
    if config.algorithm == "grpo" and config.kl_coef:
        reference = rollout.flat(rollout.reference_log_probs, numbers).to(device)
        losses = losses + config.kl_coef * kl_k3(scores.log_probs, reference)
    loss = reduce(losses, owners, len(numbers), REDUCTION[config.algorithm])
    assert scores.entropy is not None
    entropy = scores.entropy.mean()
    report = {
        "policy_loss": loss.item(),
        "entropy": entropy.item(),
        "clipped": clipped_share(scores.log_probs.detach(), old, advantages, config.clip).item(),
        "old_kl": (old - scores.log_probs.detach()).mean().item(),
    }
    if policy.value is not None:
        value_loss = _value_loss(policy, experience, scores, numbers, config)
        report["value_loss"] = value_loss.item()
        loss = loss + config.value_coef * value_loss
    if config.entropy_coef:
        loss = loss - config.entropy_coef * entropy
    return loss, report


def _value_loss(
    policy: Policy, experience: Experience, scores: TokenScores, numbers: Tensor, config: RlhfConfig
) -> Tensor:
    rollout, device = experience.rollout, scores.hidden.device
    old = rollout.flat(experience.values, numbers).to(device)
    returns = rollout.flat(experience.returns, numbers).to(device)
    return clipped_value_loss(policy.values(scores.hidden), old, returns, config.value_clip).mean()


def explained_variance(experience: Experience) -> float:
    """Share of the returns' variance that the values foresaw: 1 is perfect, 0 no better than the mean."""
    mask = experience.rollout.mask
    returns, values = experience.returns[mask], experience.values[mask]
    spread = returns.var(correction=0)
    return float(1 - (returns - values).var(correction=0) / spread) if spread > 0 else 0.0
