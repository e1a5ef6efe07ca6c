"""The main job's settings: one YAML file under tradeoffs/configs/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from common.config import StrictModel

Count = Annotated[int, Field(ge=1)]


class JobConfig(StrictModel):
    """One training command: its configuration file and what to change in it."""

    config: Path
    set: list[str] = []
    """`key=value`, as `--set` takes it."""


class LaneConfig(StrictModel):
    """One road with one format."""

    road: Literal["onprem", "cloud", "edge"]
    format: Literal["fp32", "bf16", "int4"]

    @property
    def name(self) -> str:
        """`road-format`, for file names."""
        return f"{self.road}-{self.format}"


class BundleConfig(StrictModel):
    """What the bundle is called and what it must reach."""

    name: str
    version: str
    golden_prompts: Count = 32
    max_new_tokens: Count = 96
    min_bleu: Annotated[float, Field(ge=0, le=100)]
    """The gate: a model below it is not signed."""


class QualityConfig(StrictModel):
    """How outputs are made and scored, locally and through each road."""

    inputs: Count | None = None
    """Distinct inputs, the first of the set; all where left out."""
    max_tokens: Count = 96
    samples: Count = 6
    """Inputs that the report shows side by side."""
    resamples: Count = 1000


class LoadConfig(StrictModel):
    """The load of every lane."""

    scenario: Path
    scenario_set: list[str] = []
    curve: Path
    curve_start: Annotated[float, Field(gt=0)] = 4.0
    """First rate of the latency-throughput curve, requests/s."""
    curve_factor: Annotated[float, Field(gt=1)] = 3.0
    curve_points: Count = 6
    """Most rates of the curve; a server that is saturated before ends it."""
    curve_refine: Annotated[int, Field(ge=0, le=10)] = 2
    """Rates that halve the gap between the highest that kept the SLO and the next."""
    curve_seconds: Annotated[float, Field(gt=0)] = 6.0


class DemoConfig(StrictModel):
    """Everything `make demo` does, in order."""

    name: str
    """Names the folders under runs/, data/ and reports/."""
    data: JobConfig
    tokenizer_vocabulary: Count
    pretrain: JobConfig
    sft: JobConfig
    bundle: BundleConfig
    quality: QualityConfig = QualityConfig()
    lanes: Annotated[list[LaneConfig], Field(min_length=1)]
    load: LoadConfig
    report: Path = Path("reports/tradeoffs")

    @property
    def folder(self) -> Path:
        """Where the job keeps its state and its measurements."""
        return Path("runs") / self.name
