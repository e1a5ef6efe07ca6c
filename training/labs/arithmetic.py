"""Parameters and FLOPs of `training/model.py`, part by part.

A matrix product with W weights costs 2 W FLOPs per token forward and 4 W backward (Kaplan et al. 2020, arXiv
2001.08361, section 2.1). Attention's two products see a share s of the T positions of a row (our CPU kernel
leaves half of the masked ones out): 2 x 2 s T H per token. Norms, softmax and rotation are left out: below
2 % of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.attention import SEEN_SHARE
from training.model import ModelConfig

BACKWARD = 2
"""FLOPs of a backward pass against the forward pass: gradients of inputs and of weights."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of work, `count` times in the model."""

    name: str
    weights: int
    flops_per_token: float
    """Forward."""
    count: int = 1


def parts(config: ModelConfig, vocabulary: int, row_tokens: int) -> list[Part]:
    """The model from the embedding to the logits; the tied output matrix has no weights of its own."""
    hidden, wide = config.hidden_size, config.intermediate_size
    heads = config.num_attention_heads + 2 * config.num_key_value_heads
    layers = config.num_hidden_layers

    def matrix(name: str, weights: int, count: int) -> Part:
        return Part(name, weights, 2.0 * weights, count)

    return [
        Part("embedding", vocabulary * hidden, 0.0),
        matrix("query, key, value", hidden * heads * config.head_dim, layers),
        Part("attention scores and mix", 0, 4.0 * SEEN_SHARE * row_tokens * hidden, layers),
        matrix("attention output", hidden * hidden, layers),
        matrix("gate and up", 2 * hidden * wide, layers),
        matrix("down", wide * hidden, layers),
        Part("norms", hidden, 0.0, 2 * layers + 1),
        Part("logits", 0, 2.0 * vocabulary * hidden),
    ]


def parameter_count(config: ModelConfig, vocabulary: int) -> int:
    """Weights of the model; the tied embedding counts once."""
    return sum(part.weights * part.count for part in parts(config, vocabulary, 1))


def non_embedding_count(config: ModelConfig) -> int:
    """Weights of layers and norms."""
    return parameter_count(config, 0)


def forward_flops(config: ModelConfig, vocabulary: int, row_tokens: int) -> float:
    """FLOPs per token of a forward pass."""
    return sum(part.flops_per_token * part.count for part in parts(config, vocabulary, row_tokens))


def training_flops(
    config: ModelConfig, vocabulary: int, row_tokens: int, *, checkpointing: bool = False
) -> float:
    """FLOPs per token of a training step.

    Activation checkpointing runs the layers forward once more, all but their last product (`down`), whose
    result nobody needs.
    """
    every = parts(config, vocabulary, row_tokens)
    forward = sum(part.flops_per_token * part.count for part in every)
    again = sum(
        part.flops_per_token * part.count
        for part in every
        if part.name not in {"embedding", "down", "logits"}
    )
    return (1 + BACKWARD) * forward + (again if checkpointing else 0.0)


def lora_flops(config: ModelConfig, vocabulary: int, row_tokens: int, lora_parameters: int) -> float:
    """FLOPs per token where only adapters learn: no gradients of the base's weights, 6 per adapter weight.

    The backward pass through attention's products stays whole (Hu et al. 2021, arXiv 2106.09685).
    """
    every = parts(config, vocabulary, row_tokens)
    attention = sum(
        part.flops_per_token * part.count for part in every if not part.weights and part.count > 1
    )
    matrices = forward_flops(config, vocabulary, row_tokens) - attention
    return 2 * matrices + (1 + BACKWARD) * attention + 6.0 * lora_parameters


def lora_parameters(config: ModelConfig, rank: int) -> int:
    """Adapter weights of `rank` on all seven matrices of each layer, named as in Hugging Face's Llama."""
    hidden, wide = config.hidden_size, config.intermediate_size
    keys = config.num_key_value_heads * config.head_dim
    sides = 2 * (hidden + hidden) + 2 * (hidden + keys) + 3 * (hidden + wide)
    return rank * sides * config.num_hidden_layers
