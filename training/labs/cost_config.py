"""The price file of the build-or-buy calculator (`training/configs/lab-prices.yaml`)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from common.config import StrictModel
from training.model import ModelConfig

Amount = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class HardwareConfig(StrictModel):
    """A machine that trains."""

    what: str
    per_hour: Amount
    """Of all devices together."""
    peak_flops: Positive
    """FLOP/s of large matrix products on one device."""
    share: float = Field(gt=0, le=1)
    """Part of the peak that a training step reaches."""
    devices: int = Field(default=1, ge=1)


class TrainingConfig(StrictModel):
    """One way to a model of your own."""

    kind: Literal["pretrain", "full", "lora"]
    hardware: str
    model: ModelConfig
    vocabulary: int = Field(ge=16)
    row_tokens: int = Field(ge=8)
    tokens: Positive
    """Of one run."""
    lora_rank: int = Field(default=16, ge=1)
    attempts: float = Field(default=1.0, ge=1)
    """Runs until one is good enough."""
    people_hours: Amount = 0.0
    """Work until it serves."""


class ServingConfig(StrictModel):
    """Running a model of your own."""

    per_hour: Amount
    requests_per_second: Positive
    """That one machine sustains."""
    people_hours_per_month: Amount = 0.0


class ApiConfig(StrictModel):
    """Using somebody else's model."""

    what: str
    per_million_prompt_tokens: Amount
    per_million_answer_tokens: Amount
    people_hours: Amount = 0.0
    people_hours_per_month: Amount = 0.0


class RequestConfig(StrictModel):
    """The usual request."""

    prompt_tokens: Positive
    answer_tokens: Positive


class CostConfig(StrictModel):
    """All prices, and what they are for."""

    currency: str
    as_of: str
    source: str
    hardware: dict[str, HardwareConfig]
    jobs: dict[str, TrainingConfig] = Field(min_length=1)
    wage_per_hour: Amount
    lifetime_months: Positive
    """Months over which training is spread."""
    serving: ServingConfig
    api: ApiConfig
    request: RequestConfig
    requests_per_month: Positive

    @model_validator(mode="after")
    def _hardware_is_priced(self) -> Self:
        for name, job in self.jobs.items():
            if job.hardware not in self.hardware:
                raise ValueError(
                    f"jobs.{name}.hardware is {job.hardware!r}, priced are {', '.join(sorted(self.hardware))}"
                )
        return self
