"""Settings of `python -m training prompts compare` (`training/configs/prompts.yaml`)."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field

from common.config import StrictModel
from evaluation.prompting.task import PromptTask
from training.prompting.soft import SoftMethod


class PromptsConfig(StrictModel):
    """One comparison: a search and soft prompts from the same model, rows and budget."""

    task: Path
    """The task file (`evaluation/configs/prompt-*.yaml`)."""
    start: Path = Field(alias="from")
    """Run folder or model folder that all prompts are for."""
    output: Path
    data: Path | None = None
    """Takes the place of the task's data set."""
    seed: int | None = Field(default=None, ge=0)
    """Takes the place of the task's seed."""
    set: tuple[str, ...] = ()
    """key=value over the task file."""
    methods: tuple[SoftMethod, ...] = Field(default=("prompt", "prefix"), min_length=1)
    training: tuple[str, ...] = ()
    """key=value over the settings of every soft prompt (`training/configs/adapt-<method>.yaml`)."""
    mlflow: bool = True
    batch_size: int = Field(default=32, ge=1)
    """Inputs that the search answers at once."""

    @property
    def task_overrides(self) -> list[str]:
        """Everything over the task file, as a person would type it."""
        given = {"data": self.data, "seed": self.seed}
        return [
            *self.set,
            *(
                f"{key}={json.dumps(str(v)) if key == 'data' else v}"
                for key, v in given.items()
                if v is not None
            ),
        ]

    def read_task(self) -> PromptTask:
        """The task as both kinds see it. Raises ConfigError."""
        return PromptTask.from_yaml(self.task, self.task_overrides)
