"""Settings of the scaling-law lab (`training/configs/lab-scaling.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from common.config import StrictModel
from training.config import BatchConfig
from training.hardware import Precision
from training.labs.arithmetic import non_embedding_count
from training.model import ModelConfig

_WIDTH_STEP = 8
"""The feed-forward width is rounded to a multiple of this."""

Count = Annotated[int, Field(ge=1)]


class SizeConfig(StrictModel):
    """One model of the grid; its feed-forward width is 8/3 of `hidden_size`, as in Llama."""

    hidden_size: int = Field(ge=16, multiple_of=8)
    num_hidden_layers: Count
    num_attention_heads: Count
    lr: float = Field(gt=0)
    """Peak learning rate. Small models stand, and need, a higher one."""

    def model(self, context: int) -> ModelConfig:
        """The sizes in full."""
        wide = round(self.hidden_size * 8 / 3 / _WIDTH_STEP) * _WIDTH_STEP
        return ModelConfig(
            hidden_size=self.hidden_size, intermediate_size=wide, max_position_embeddings=context,
            num_hidden_layers=self.num_hidden_layers, num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_attention_heads,
        )  # fmt: skip


class HeldOutConfig(StrictModel):
    """The larger run that the law must predict before it is trained; it is no part of the fit."""

    size: SizeConfig
    tokens: Count


class ScalingConfig(StrictModel):
    """`python -m training lab scaling`: every size with every budget."""

    data: Path
    """A prepared data set; all budgets should be below one epoch, so that no text is seen twice."""
    output: Path
    """Run folders, result.json, plots and page."""
    vocabulary: int = Field(default=512, ge=262)
    """Entries of the tokenizer that is trained on `data` and shared by all runs; small, because the budgets
    are."""
    seed: int = Field(default=1, ge=0)
    threads: int = Field(default=0, ge=0)
    precision: Precision = "auto"
    batch: BatchConfig = BatchConfig(row_tokens=128, rows=4)
    """Positions of a step, the same for all runs."""
    warmup_steps: Count = 20
    decay_share: float = Field(default=0.25, gt=0, lt=1)
    """Last part of a budget, in which the learning rate falls to nothing."""
    dev_batches: Count = 40
    sizes: list[SizeConfig] = Field(min_length=3)
    budgets: list[Count] = Field(min_length=3)
    """Tokens, rising."""
    held_out: HeldOutConfig
    parameters: Literal["total", "non_embedding"] = "total"
    """Which count the plots and the optimum use as N; the fit is made and reported for both."""
    flops: list[Annotated[float, Field(gt=0)]] = [1e12, 1e13, 1e15, 1e18]
    """Budgets of compute for which the optimum is read off."""
    resamples: Count = 400

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        if sorted(set(self.budgets)) != self.budgets:
            raise ValueError("budgets must rise, each only once")
        counts = [non_embedding_count(size.model(self.batch.row_tokens)) for size in self.sizes]
        if sorted(set(counts)) != counts:
            raise ValueError(f"sizes must rise in parameters; without the embedding they have {counts}")
        larger = non_embedding_count(self.held_out.size.model(self.batch.row_tokens))
        if larger <= counts[-1]:
            raise ValueError(f"held_out.size has {larger:,} parameters, must be above {counts[-1]:,}")
        shortest = self.steps(self.budgets[0])
        if self.warmup_steps >= self.decay_start(shortest):
            raise ValueError(f"warmup_steps reaches into the decay of the shortest run ({shortest} steps)")
        return self

    def steps(self, tokens: int) -> int:
        """Optimizer steps of a budget, were there no padding."""
        batch = self.batch
        return max(1, round(tokens / (batch.rows * batch.accumulate * batch.row_tokens)))

    def decay_start(self, steps: int) -> int:
        """The step from which the learning rate falls; see `OptimizerConfig.rate_at`."""
        return round((1 - self.decay_share) * steps)
