"""Settings of the training jobs (`training/configs/pretrain.yaml`, `sft.yaml`)."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Literal

from pydantic import Field

from common.config import StrictModel
from common.errors import ConfigError
from training.hardware import Precision
from training.model import ModelConfig
from training.optim import OptimizerConfig

CONFIGS = Path(__file__).parent / "configs"


class BatchConfig(StrictModel):
    """How texts become batches; an optimizer step sees rows x accumulate x row_tokens positions."""

    row_tokens: int = Field(default=256, ge=8)
    """Positions in a row; shorter texts share a row, longer ones are cut (pretraining) or left out (SFT)."""
    rows: int = Field(default=16, ge=1)
    """Rows in a micro-batch."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches whose gradients are summed before a step."""
    answers_per_prompt: int = Field(default=8, ge=1)
    """Most answers that share one copy of their prompt."""


class EvaluationConfig(StrictModel):
    """What is measured on the dev split while training."""

    every: int = Field(default=200, ge=1)
    """Steps between two evaluations; there is always one at the end."""
    max_batches: int = Field(default=20, ge=1)
    """Batches of the dev split that are used; always the same ones."""
    samples: int = Field(default=3, ge=0)
    """Dev prompts whose greedy answers are written to samples.jsonl; of plain text, openings with how the
    model goes on."""


class CheckpointConfig(StrictModel):
    """When the state is saved."""

    every: int = Field(default=200, ge=1)
    """Steps between two checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints to keep."""


class JobConfig(StrictModel):
    """Settings that pretraining and fine-tuning share."""

    data: Path
    """A prepared data set."""
    output: Path
    """The run folder."""
    tokenizer: Path | None = None
    """Tokenizer folder; without it that of the start model, or for a new model one trained on `data`."""
    seed: int = Field(default=1, ge=0)
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; takes the place of `epochs`."""
    precision: Precision = "auto"
    compile: Literal["auto", "always", "never"] = "auto"
    """torch.compile; `auto` uses it where there is a C++ compiler and the run is long enough to pay for
    it."""
    threads: int = Field(default=0, ge=0)
    """0 uses OMP_NUM_THREADS or all cores."""
    activation_checkpointing: bool = False
    """Keep each block's input alone for the backward pass, compute the rest again: less memory, more time."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the residual updates that are dropped while training."""
    batch: BatchConfig = BatchConfig()
    optimizer: OptimizerConfig
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    mlflow: bool = True
    """Log to MLflow: `runs/mlflow.db`, or the server of MLFLOW_TRACKING_URI."""


class PretrainConfig(JobConfig):
    """`python -m training pretrain`: a new model learns to predict every token."""

    model: str | ModelConfig = "nano"
    """A size (`training/configs/model-<size>.yaml`) or the sizes themselves."""


class SftConfig(JobConfig):
    """`python -m training sft`: a pretrained model learns to answer; loss on the answers only."""

    start: Path = Field(alias="from")
    """Run folder or model folder to start from (`--from`)."""


def resolve_model(model: str | ModelConfig) -> ModelConfig:
    """The sizes behind a name. Raises ConfigError naming the known ones."""
    if isinstance(model, ModelConfig):
        return model
    path = CONFIGS / f"model-{model}.yaml"
    if not path.is_file():
        known = sorted(p.stem.removeprefix("model-") for p in CONFIGS.glob("model-*.yaml"))
        near = difflib.get_close_matches(model, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known sizes: {', '.join(known)}"
        raise ConfigError(f"model: unknown size {model!r}; {hint}")
    return ModelConfig.from_yaml(path)
