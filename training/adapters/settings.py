"""Settings of `python -m training adapt` (`training/configs/adapt-<method>.yaml`)."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from common.config import StrictModel
from common.errors import ConfigError
from training.config import CONFIGS, JobConfig

VirtualTokens = Annotated[int, Field(ge=1)]


class LowRank(StrictModel):
    """What LoRA and DoRA share."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    """The update is scaled by alpha / rank."""
    rank_stabilised: bool = False
    """Scale by alpha / sqrt(rank) instead (Kalajdzievski 2023, arXiv 2312.03732)."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the matrices that get an update, for example [q_proj, v_proj]; `all-linear`: all but the
    output matrix."""


class LoraMethod(LowRank):
    """W + (alpha / rank) B A with small B and A."""

    method: Literal["lora"]


class DoraMethod(LowRank):
    """LoRA on the direction of each row of W, and its length learnt apart."""

    method: Literal["dora"]


class Ia3Method(StrictModel):
    """One learnt factor for each key, value and feed-forward channel."""

    method: Literal["ia3"]
    targets: tuple[str, ...] = ("k_proj", "v_proj", "down_proj")
    feedforward: tuple[str, ...] = ("down_proj",)
    """Those of the targets whose input is scaled instead of their output."""


class PrefixMethod(StrictModel):
    """Learnt keys and values in front of every layer's own."""

    method: Literal["prefix"]
    virtual_tokens: VirtualTokens = 16
    projection_size: int | None = Field(default=None, ge=1)
    """Hidden size of a network that makes the prefix while training; null learns the prefix itself."""


class PromptMethod(StrictModel):
    """Learnt embeddings in front of the text."""

    method: Literal["prompt"]
    virtual_tokens: VirtualTokens = 16
    init: Literal["vocabulary", "random", "text"] = "vocabulary"
    """Start from embeddings of random tokens, from random numbers, or from the tokens of `text`."""
    text: str = Field(default="Describe the venue in one or two sentences.", min_length=1)


class PtuningMethod(StrictModel):
    """Learnt embeddings in front of the text, made by a small network while training."""

    method: Literal["ptuning"]
    virtual_tokens: VirtualTokens = 16
    encoder: Literal["MLP", "LSTM"] = "MLP"
    encoder_size: int = Field(default=256, ge=1)


Method = Annotated[
    LoraMethod | DoraMethod | Ia3Method | PrefixMethod | PromptMethod | PtuningMethod,
    Field(discriminator="method"),
]
METHODS = ("lora", "dora", "prefix", "prompt", "ptuning", "ia3")
MERGEABLE = ("lora", "dora", "ia3")
"""Methods whose result can be written into the weights."""


class AdaptConfig(JobConfig):
    """`python -m training adapt`: a frozen model learns to answer through an adapter. `dropout` is LoRA's, on
    the adapter's input."""

    start: Path = Field(alias="from")
    """Run folder or model folder of the base model (`--from`)."""
    adapter: Method
    quality_inputs: int | None = Field(default=None, ge=1)
    """Dev inputs that are answered for outcome.json; null takes all."""


def config_of(method: str) -> Path:
    """The settings file of a method. Raises ConfigError naming those there are."""
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"--method {method}: unknown method; {hint}known methods: {', '.join(METHODS)}")
    return CONFIGS / f"adapt-{method}.yaml"
