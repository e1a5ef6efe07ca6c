"""Settings of `python -m training distil` (`training/configs/distil.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from common.config import StrictModel
from training.config import JobConfig
from training.model import ModelConfig

Mode = Literal["logits", "sequence", "none"]


class AnswersConfig(StrictModel):
    """How the teacher's answers are made (`mode: sequence`)."""

    candidates: int = Field(default=1, ge=1)
    """1: its most likely answer, greedily; more: that many sampled ones, of which one is kept."""
    temperature: float = Field(default=0.7, gt=0)
    """Of the sampling."""
    keep: Literal["likeliest", "closest"] = "likeliest"
    """The candidate of the highest probability per token, or the closest to the data's own answers (chrF)."""


class DistilConfig(JobConfig):
    """`python -m training distil`: a student learns from a teacher."""

    teacher: Path
    """Run folder or model folder; the student takes over its tokenizer."""
    student: str | ModelConfig = "pico"
    """A size (`training/configs/model-<size>.yaml`), the sizes themselves, or a run or model folder to start
    from."""
    mode: Mode = "logits"
    """Learn from the teacher's probabilities, from its answers, or (the control) from the data alone."""
    temperature: float = Field(default=2.0, gt=0)
    """Softens both distributions (`mode: logits`)."""
    share: float = Field(default=0.5, ge=0, le=1)
    """Weight of the teacher's probabilities; the rest is cross-entropy (`mode: logits`)."""
    answers: AnswersConfig = AnswersConfig()
    quality_inputs: int | None = Field(default=None, ge=1)
    """Dev inputs that are answered for outcome.json; null takes all."""
