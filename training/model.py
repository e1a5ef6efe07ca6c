"""A Llama decoder for reading and for speed: RMSNorm, RoPE, grouped-query attention, SwiGLU, tied embeddings.

The weights convert exactly to and from the Hugging Face layout (`training/layout.py`); only the projections
are fused here (q, k and v in one matrix; gate and up in one), because few large matrix products beat many
small ones. Shapes in comments: B rows, T positions, H hidden size, D head size, A query heads, K key-value
heads.

Sources: Touvron et al. 2023 (arXiv 2302.13971), Su et al. 2021 (RoPE, 2104.09864), Zhang and Sennrich 2019
(RMSNorm, 1910.07467), Shazeer 2020 (SwiGLU, 2002.05202), Ainslie et al. 2023 (grouped queries, 2305.13245).
"""

from __future__ import annotations

import math
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from common.config import StrictModel
from training.attention import additive_mask, attend


class ModelConfig(StrictModel):
    """Sizes of the decoder, named as in Hugging Face's `LlamaConfig` (`training/configs/model-*.yaml`)."""

    hidden_size: int = Field(ge=16, multiple_of=8)
    intermediate_size: int = Field(ge=16, multiple_of=8)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    num_key_value_heads: int = Field(ge=1)
    max_position_embeddings: int = Field(ge=8)
    """The context: prompt and answer together, in tokens."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    rms_norm_eps: float = Field(default=1e-5, gt=0)

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError("hidden_size must be an even multiple of num_attention_heads")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads")
        return self


class RMSNorm(nn.Module):
    """Scale each vector to unit root mean square, in float32 whatever the dtype of the input."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., H] to [..., H]."""
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class KeyValueCache:
    """Keys and values of the positions seen so far, for one layer; preallocated, so that decoding never
    copies."""

    def __init__(self, rows: int, positions: int, config: ModelConfig, like: Tensor) -> None:
        shape = (rows, positions, config.num_key_value_heads, config.head_dim)
        self.keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add [B, T, K, D]; returns all keys and all values so far."""
        end = self.length + keys.shape[1]
        self.keys[:, self.length : end] = keys
        self.values[:, self.length : end] = values
        self.length = end
        return self.keys[:, :end], self.values[:, :end]


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = (config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads)
        self.head_dim = config.head_dim
        self.qkv = nn.Linear(config.hidden_size, sum(self.heads) * self.head_dim, bias=False)
        self.out = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor, cache: KeyValueCache | None
    ) -> Tensor:
        """[B, T, H] to [B, T, H]; `mask` [B, T, S] is added to the scores (`additive_mask`)."""
        rows, length, hidden = x.shape
        q, k, v = self.qkv(x).view(rows, length, -1, self.head_dim).split(self.heads, dim=2)
        q, k = rotate(q, rope), rotate(k, rope)
        if cache is not None:
            k, v = cache.append(k, v)
        groups = self.heads[0] // self.heads[1]
        if groups > 1:
            k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
        mixed = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask)
        return self.out(mixed.transpose(1, 2).reshape(rows, length, hidden))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One decoder layer: attention, then a gated feed-forward network, each added to the residual stream."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.attention_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor, cache: KeyValueCache | None = None
    ) -> Tensor:
        """[B, T, H] to [B, T, H]."""
        x = x + self._drop(self.attention(self.attention_norm(x), rope, mask, cache))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        # SiLU by its formula: its own backward pass takes each exponential twice.
        return x + self._drop(self.down(gate * torch.sigmoid(gate) * up))

    def _drop(self, update: Tensor) -> Tensor:
        return F.dropout(update, self.dropout, self.training) if self.dropout else update


class Llama(nn.Module):
    """The decoder. `forward` gives hidden states; `logits` or a fused loss turns them into words."""

    def __init__(self, config: ModelConfig, vocabulary: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.recompute = False
        """Activation checkpointing (Chen et al. 2016, 1604.06174): keep the input of each block alone."""
        self.embedding = nn.Embedding(vocabulary, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config, dropout) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        cos, sin = rope_table(config)
        self.cos: Tensor
        self.sin: Tensor
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def forward(
        self, tokens: Tensor, positions: Tensor, visible: Tensor, caches: list[KeyValueCache] | None = None
    ) -> Tensor:
        """Token ids [B, T], positions [B, T] and visibility [B, T, S] to hidden states [B, T, H]."""
        x = self.embedding(tokens)
        rope = (self.cos[positions][:, :, None], self.sin[positions][:, :, None])  # [B, T, 1, D/2]
        mask = additive_mask(visible, x.dtype)
        for index, block in enumerate(self.blocks):
            if self.recompute and caches is None:
                x = checkpoint(block, x, rope, mask, use_reentrant=False)
            else:
                x = block(x, rope, mask, caches[index] if caches else None)
        return self.norm(x)  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., H] to logits [..., V]; the output matrix is the embedding."""
        return F.linear(hidden, self.embedding.weight)

    def parameter_count(self) -> int:
        """Number of weights; the tied embedding counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _initialise(self) -> None:
        # GPT-2's scheme: the two projections that write to the residual stream shrink with depth.
        residual_std = 0.02 / math.sqrt(2 * self.config.num_hidden_layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                shrinks = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=residual_std if shrinks else 0.02)


def rope_table(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines [positions, D/2] of the rotary angles."""
    powers = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(config.max_position_embeddings).float(), config.rope_theta**-powers)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate [B, T, heads, D] by its positions; the halves are paired as in Hugging Face's Llama."""
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
