"""`serving.json`: what was measured, on what, and under which settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.config import StrictModel
from common.machine import Machine

NAME = "serving.json"
SCHEMA = "trivium.serving/v1"


class Rates(StrictModel):
    """A figure of each round and what they come to."""

    median: float
    low: float
    high: float
    rounds: list[float]


class Measured(StrictModel):
    """One group of targets that need the same work."""

    digest: str
    """Of what decides the work."""
    measured_on: str
    """Technique and seed that was loaded for all."""
    kind: str
    members: list[str]
    """Every technique and seed; `merged` behind it: the adapter written into the weights."""
    prompt_tokens: float
    """Mean of an input."""
    virtual_tokens: int
    tokens_per_second: Rates
    relative: Rates
    """Times the rate of `baseline` in the same round."""


class ServingReport(StrictModel):
    """The whole file."""

    schema_version: str = SCHEMA
    runs: str
    settings: dict[str, Any]
    software: dict[str, str]
    machine: Machine
    threads: int
    batch: int
    """Inputs that were there to be answered at once."""
    baseline: str
    """The group that the others are related to, by the target that it was measured on."""
    groups: list[Measured]
    """By rate, fastest first."""
    not_measured: dict[str, str]
    """Technique and seed to the reason."""
    created: str
    command: str

    @classmethod
    def read(cls, path: Path) -> ServingReport | None:
        """None where there is none, or none of this version."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return None
