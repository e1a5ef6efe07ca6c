"""Softmax attention, forward and backward, for rows in which a position sees some of those before it.

On a GPU and for long rows PyTorch's fused kernel; on a CPU and short rows the matrix products are batched and
everything between them is left to the compiler. The backward pass is written out, as in FlashAttention (Dao
et al. 2022, arXiv 2205.14135), so that each exponential is taken once, nothing as large as the scores is
divided, and no gradient is padded: with autograd's own the compiler's loops took twice the time.

Shapes: B rows, A heads, T queries, S keys, D head size; G = B * A.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

QUERY_PARTS = 2
"""Attention over a whole row takes the queries in so many parts (2: 3 % faster than 1; more gain nothing)."""
SEEN_SHARE = (QUERY_PARTS + 1) / (2 * QUERY_PARTS)
"""Share of all scores of a row that is computed then."""


@torch.library.custom_op("trivium::additive_mask", mutates_args=())
def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `visible` (bool), else a number so low that its exponential is 0; same shape, of `dtype`.

    Not -inf: a row that sees nothing must not become NaN. No wider than the scores, and an operation that the
    compiler cannot look into: it would decode the booleans again in every layer, in twice the time of the
    softmax itself.
    """
    return torch.where(visible, 0.0, -1e30).to(dtype)


@additive_mask.register_fake
def _(visible: Tensor, dtype: torch.dtype) -> Tensor:
    return visible.new_empty(visible.shape, dtype=dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """q [B, A, T, D], k and v [B, A, S, D]; `mask` [B, T, S] is added to the scores and causal, that is, a
    query may see some of the keys up to its own; returns [B, A, T, D]. A query that sees nothing gets some
    mean of the values.
    """
    if q.is_cuda or k.shape[2] > 1024:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])
    flat = [x.reshape(-1, *x.shape[2:]) for x in (q * q.shape[-1] ** -0.5, k, v)]
    return _Attention.apply(*flat, mask[:, None]).view(q.shape)  # type: ignore[no-any-return,no-untyped-call]


def _parts(queries: int, keys: int) -> list[tuple[slice, int]]:
    """The queries in parts, each with how many keys it may see: nothing looks ahead, so that the first
    queries need not be multiplied with the last keys."""
    cut = queries == keys and queries >= 2 * QUERY_PARTS
    size = math.ceil(queries / QUERY_PARTS) if cut else queries
    rows = [slice(start, min(start + size, queries)) for start in range(0, queries, size)]
    return [(part, keys - queries + part.stop) for part in rows]


class _Attention(torch.autograd.Function):
    """softmax(q k' + mask) v with e = exp(scores - their maximum) and z = the sum of e over the keys."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """q [G, T, D], k and v [G, S, D], mask [B, 1, T, S] to [G, T, D]."""
        raised, shares, mixed = [], [], []
        for rows, end in _parts(q.shape[1], k.shape[1]):
            scores = torch.bmm(q[:, rows], k[:, :end].transpose(1, 2))
            seen = mask[:, :, rows, :end]
            masked = (scores.view(len(seen), -1, *seen.shape[2:]) + seen).view(scores.shape).float()
            e = torch.exp(masked - masked.amax(-1, keepdim=True))
            share = 1 / e.sum(-1, keepdim=True)
            e = e.to(q.dtype)
            raised.append(e)
            shares.append(share)
            mixed.append((torch.bmm(e, v[:, :end]) * share).to(q.dtype))
        output = torch.cat(mixed, dim=1)
        ctx.save_for_backward(q, k, v, output, *raised, *shares)
        return output

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """With P = e / z:  dV = P' dO,  dS = P * (dO V' - sum(dO * O)),  dQ = dS K,  dK = dS' Q."""
        (grad,) = grad_outputs
        q, k, v, output, *rest = ctx.saved_tensors
        parts = _parts(q.shape[1], k.shape[1])
        raised, shares = rest[: len(parts)], rest[len(parts) :]
        to_q, to_k, to_v = [], [], []
        for (rows, end), e, share in zip(parts, raised, shares, strict=True):
            scaled = (grad[:, rows] * share).to(q.dtype)  # dO / z
            inner = (scaled.float() * output[:, rows]).sum(-1, keepdim=True)
            to_v.append(torch.bmm(e.transpose(1, 2), scaled))
            to_scores = (e * (torch.bmm(scaled, v[:, :end].transpose(1, 2)) - inner)).to(q.dtype)
            to_q.append(torch.bmm(to_scores, k[:, :end]))
            to_k.append(torch.bmm(to_scores.transpose(1, 2), q[:, rows]))
        return torch.cat(to_q, dim=1), _added(to_k), _added(to_v), None


def _added(parts: list[Tensor]) -> Tensor:
    """The sum of gradients that each begin at the first key, the last one reaching all keys. By stretches of
    keys: padding with zeros would cost the compiler its vector code."""
    starts = [0, *(part.shape[1] for part in parts)]
    stretches = []
    for number, (start, end) in enumerate(pairwise(starts)):
        reaching = [part[:, start:end] for part in parts[number:]]
        stretches.append(sum(reaching[1:], start=reaching[0]))
    return torch.cat(stretches, dim=1)
