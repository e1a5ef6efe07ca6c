"""Advantages against numbers worked out by hand, and the losses of policy optimisation against loops."""

from __future__ import annotations

import math

import pytest
import torch

from training.alignment.advantages import gae, group_normalised, leave_one_out, whiten
from training.alignment.losses import (
    Reduction,
    clipped_policy_loss,
    clipped_share,
    clipped_value_loss,
    kl_k3,
    reduce,
)

pytestmark = pytest.mark.unit


def test_gae_by_hand() -> None:
    # Answer 1 has three tokens, answer 2 only one; gamma 0.9, lambda 0.8.
    rewards = torch.tensor([[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]])
    values = torch.tensor([[0.5, 0.6, 0.7], [0.4, 9.0, 9.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    advantages, returns = gae(rewards, values, mask, 0.9, 0.8)
    # delta: 0.04, 0.03, 0.3; then 0.3, 0.03 + 0.72 * 0.3, 0.04 + 0.72 * 0.246
    torch.testing.assert_close(advantages, torch.tensor([[0.21712, 0.246, 0.3], [1.6, 0.0, 0.0]]))
    torch.testing.assert_close(returns, torch.tensor([[0.71712, 0.846, 1.0], [2.0, 0.0, 0.0]]))


def test_gae_with_lambda_one_is_the_return_less_the_value() -> None:
    rewards, values = torch.rand(3, 5), torch.rand(3, 5)
    advantages, returns = gae(rewards, values, torch.ones(3, 5, dtype=torch.bool), 1.0, 1.0)
    to_go = rewards.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns, to_go)
    torch.testing.assert_close(advantages, to_go - values)


def test_leave_one_out_by_hand() -> None:
    expected = torch.tensor([[1 - 4.0, 2 - 3.5, 6 - 1.5]])
    torch.testing.assert_close(leave_one_out(torch.tensor([[1.0, 2.0, 6.0]])), expected)


def test_group_normalised_by_hand() -> None:
    rewards = torch.tensor([[1.0, 3.0], [5.0, 5.0]])
    half = math.sqrt(0.5)  # distance 1 from the mean over a deviation of sqrt(2)
    expected = torch.tensor([[-half, half], [0.0, 0.0]])
    torch.testing.assert_close(group_normalised(rewards), expected, rtol=1e-3, atol=1e-5)
    plain = group_normalised(rewards, scale_by_std=False)
    torch.testing.assert_close(plain, torch.tensor([[-1.0, 1.0], [0.0, 0.0]]))


def test_whitened_values_have_mean_zero_and_variance_one_where_the_mask_is() -> None:
    values = torch.tensor([[1.0, 2.0, 100.0], [3.0, 100.0, 100.0]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    white = whiten(values, mask)
    assert white[~mask].eq(0).all()
    assert white[mask].mean().item() == pytest.approx(0, abs=1e-6)
    assert white[mask].var(correction=0).item() == pytest.approx(1, rel=1e-3)


def tokens(seed: int, count: int = 40) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def literal_policy_loss(new: float, old: float, advantage: float, clip: float) -> tuple[float, bool]:
    """The four cases of the clipped objective, written out; and whether its gradient is gone."""
    ratio = math.exp(new) / math.exp(old)
    if advantage > 0 and ratio > 1 + clip:
        return -(1 + clip) * advantage, True
    if advantage < 0 and ratio < 1 - clip:
        return -(1 - clip) * advantage, True
    return -ratio * advantage, False


def test_the_policy_loss_equals_the_four_cases_written_out_and_so_does_its_gradient() -> None:
    old, advantages = -tokens(1).abs(), tokens(3)
    new = (old + 0.4 * tokens(2)).requires_grad_()
    losses = clipped_policy_loss(new, old, advantages, 0.2)
    cases = [
        literal_policy_loss(n, o, a, 0.2)
        for n, o, a in zip(new.tolist(), old.tolist(), advantages.tolist(), strict=True)
    ]
    gone = torch.tensor([clipped for _, clipped in cases])
    assert 0 < gone.sum() < len(gone)
    torch.testing.assert_close(losses, torch.tensor([loss for loss, _ in cases]))
    (gradient,) = torch.autograd.grad(losses.sum(), new)
    # d/d new of -ratio * advantage is itself; a clipped token has none.
    torch.testing.assert_close(gradient, torch.where(gone, 0.0, losses.detach()))
    share = clipped_share(new.detach(), old, advantages, 0.2)
    assert share.item() == pytest.approx(gone.float().mean().item())


def test_the_value_loss_is_the_worse_of_plain_and_clipped() -> None:
    losses = clipped_value_loss(
        torch.tensor([1.0, 1.0]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0]), 0.2
    )
    # moved from 0 to 1, allowed 0.2: errors 0 and 0.8 for the first, 2 and 2.8 for the second
    torch.testing.assert_close(losses, torch.tensor([0.5 * 0.8**2, 0.5 * 2.8**2]))


def test_the_kl_estimate_is_right_on_average() -> None:
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    estimates = kl_k3(p.log(), q.log())
    assert (estimates >= 0).all()
    torch.testing.assert_close((p * estimates).sum(), (p * (p / q).log()).sum())


@pytest.mark.parametrize(
    ("how", "expected"), [("tokens", 10 / 4), ("answers", (2 + 4) / 2), ("sums", (6 + 4) / 2)]
)
def test_reductions_by_hand(how: Reduction, expected: float) -> None:
    losses, owners = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0, 0, 0, 1])
    assert reduce(losses, owners, 2, how).item() == pytest.approx(expected)
