"""Scales for an int8 KV cache: one for the keys and one for the values of each layer, measured on the model.

What the cache holds is seen where the fp32 reference reads the bundle's golden prompts and answers. One scale
for a tensor, not one for each channel: a channel that they hardly use would be cut off elsewhere (README.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

QMAX = 127
HEADROOM = 1.1
"""How much larger than any value seen a value may be before it is cut off."""
LARGEST_ERROR = 0.04
"""Root mean square that rounding may change in a layer's keys or values, as a share of theirs."""


@dataclass(frozen=True)
class CacheScales:
    """Per layer: what one step of the int8 cache stands for."""

    keys: list[float]
    values: list[float]
    error: float
    """Root mean square of what rounding changes, as a share of that of the values; of the worst layer."""

    @property
    def usable(self) -> bool:
        """Whether int8 is close enough; it is not where a few channels dwarf the others."""
        return self.error <= LARGEST_ERROR

    def for_builder(self) -> dict[str, Any]:
        """The content of the builder's `kv_cache_scale_file`."""
        return {"scales": {"k_scales": self.keys, "v_scales": self.values}}


def cache_scales(model: Path, sequences: Sequence[Sequence[int]]) -> CacheScales:
    """Scales for the Hugging Face folder `model`, from its fp32 cache after reading the token `sequences`."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, local_files_only=True).eval()
    with torch.inference_mode():
        caches = [network(torch.tensor([list(tokens)])).past_key_values.layers for tokens in sequences]
        layers = range(len(caches[0]))
        keys = [_scale([cache[layer].keys for cache in caches]) for layer in layers]
        values = [_scale([cache[layer].values for cache in caches]) for layer in layers]
    return CacheScales(
        [scale for scale, _ in keys],
        [scale for scale, _ in values],
        max(error for _, error in (*keys, *values)),
    )


def _scale(tensors: Sequence[Tensor]) -> tuple[float, float]:
    """The step for tensors of any shapes, and the relative error of rounding to it."""
    import torch

    flat = torch.cat([tensor.flatten() for tensor in tensors])
    # Three digits: the last bits of a matrix product differ between processors, and the export should not.
    scale = float(f"{HEADROOM * float(flat.abs().max()) / QMAX:.2e}") or 1.0
    rounded = scale * (flat / scale).round()
    return scale, float((rounded - flat).norm() / flat.norm().clamp_min(1e-30))
