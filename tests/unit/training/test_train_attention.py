"""Attention and its written-out backward pass against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.attention import additive_mask, attend

pytestmark = pytest.mark.unit


def arrays(queries: int, keys: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """q, k, v of 2 rows and 3 heads, and who sees whom: causal, with holes, never nothing."""
    torch.manual_seed(queries)
    q, k, v = (torch.randn(2, 3, length, 8, requires_grad=True) for length in (queries, keys, keys))
    visible = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries) & (
        torch.rand(2, queries, keys) > 0.3
    )
    visible |= torch.eye(keys, dtype=torch.bool)[keys - queries :]
    return (q, k, v), visible


@pytest.mark.parametrize(("queries", "keys"), [(64, 64), (7, 7), (4, 4), (3, 3), (1, 1), (1, 9), (5, 9)])
def test_values_and_gradients_are_those_of_pytorch(queries: int, keys: int) -> None:
    qkv, visible = arrays(queries, keys)
    mixed = attend(*qkv, additive_mask(visible, torch.float32))
    expected = F.scaled_dot_product_attention(*qkv, attn_mask=visible[:, None])
    torch.testing.assert_close(mixed, expected)
    towards = torch.randn_like(mixed)
    torch.testing.assert_close(
        torch.autograd.grad(mixed, qkv, towards), torch.autograd.grad(expected, qkv, towards)
    )


def test_half_precision_is_near() -> None:
    qkv, visible = arrays(32, 32)
    q, k, v = (x.detach().bfloat16().requires_grad_() for x in qkv)
    towards = torch.randn(2, 3, 32, 8)
    mixed, expected = (
        attend(q, k, v, additive_mask(visible, torch.bfloat16)),
        attend(*qkv, additive_mask(visible, torch.float32)),
    )
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), expected, atol=0.03, rtol=0.05)
    mine = torch.autograd.grad(mixed, (q, k, v), towards.bfloat16())
    for found, wanted in zip(mine, torch.autograd.grad(expected, qkv, towards), strict=True):
        torch.testing.assert_close(found.float(), wanted, atol=0.05, rtol=0.1)


def test_a_query_that_sees_nothing_is_finite() -> None:
    qkv, visible = arrays(8, 8)
    visible[0, 3] = False
    mixed = attend(*qkv, additive_mask(visible, torch.float32))
    assert mixed.isfinite().all()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(mixed.sum(), qkv))


def test_large_scores_do_not_overflow() -> None:
    (q, k, v), visible = arrays(16, 16)
    expected = F.scaled_dot_product_attention(q * 1e4, k, v, attn_mask=visible[:, None])
    torch.testing.assert_close(attend(q * 1e4, k, v, additive_mask(visible, torch.float32)), expected)
