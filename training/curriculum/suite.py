"""Settings of the suite (`training/configs/train-all.yaml`)."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from common.config import StrictModel
from training.curriculum.catalogue import CATALOGUE
from training.data.config import DataConfig


class StepConfig(StrictModel):
    """One training command: its settings over its file, as `--set` takes them."""

    set: list[str] = []


class TechniqueConfig(StepConfig):
    """One row of the comparison."""

    technique: str

    @field_validator("technique")
    @classmethod
    def _is_known(cls, key: str) -> str:
        optional = [known for known in CATALOGUE if known not in ("base", "full")]
        if key in optional:
            return key
        near = difflib.get_close_matches(key, optional, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown technique {key!r}; {hint}known: {', '.join(optional)}")


class DataJob(StrictModel):
    """The data command."""

    config: Path
    set: list[str] = []

    @property
    def folder(self) -> Path:
        """Where the data set goes. Raises ConfigError."""
        settings = DataConfig.from_yaml(self.config, self.set)
        return settings.output / settings.name


class SuiteConfig(StrictModel):
    """Everything `make train-all` does, in order."""

    runs: Path
    """Folder of all runs and of the suite's state."""
    report: Path
    data: DataJob
    """The task that all techniques learn, and on which all are measured."""
    base_data: DataJob | None = None
    """What the tokenizer and the pretrained model have seen; null gives them the task's own texts."""
    vocabulary: int = Field(ge=300)
    seeds: int = Field(default=1, ge=1, le=20)
    """The techniques of `headline` are run with seeds 1 to this, all others with 1."""
    headline: list[str] = []
    base: StepConfig = StepConfig()
    full: StepConfig = StepConfig()
    pairs: StepConfig = StepConfig()
    reward: StepConfig = StepConfig()
    serving: StepConfig = StepConfig()
    every: list[str] = []
    """Settings that every training command gets, for example precision."""
    techniques: list[TechniqueConfig]
    """In the order in which they run, after pretraining and full fine-tuning."""

    @model_validator(mode="after")
    def _base_has_its_own_folder(self) -> Self:
        if self.base_data and self.base_data.folder == self.data.folder:
            raise ValueError(
                f"data and base_data both go to {self.data.folder}; give base_data another name=…, or null "
                "to pretrain on the task itself"
            )
        return self

    @model_validator(mode="after")
    def _techniques_fit(self) -> Self:
        listed = [entry.technique for entry in self.techniques]
        if doubled := sorted({key for key in listed if listed.count(key) > 1}):
            raise ValueError(f"techniques given twice: {', '.join(doubled)}")
        if strangers := [key for key in self.headline if key not in (*listed, "full")]:
            raise ValueError(f"headline: {', '.join(strangers)} not among the techniques")
        return self

    def seeds_of(self, technique: str) -> range:
        """The seeds that a technique is run with."""
        return range(1, (self.seeds if technique in self.headline else 1) + 1)
