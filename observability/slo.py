"""Reads the SLO file: what each road promises.

    objectives = load_slo().for_road("edge")
    objectives.ttft_seconds.p95
    objectives.goodput.met_by(ttft_seconds=0.1, tpot_seconds=None, e2e_seconds=0.8)

Formulas of TTFT, TPOT and E2E: docs/architecture.md, "Load results".
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from common.config import StrictModel

SLO_FILE = Path(__file__).with_name("slo.yaml")

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]


class Percentiles(StrictModel):
    """Upper bounds of two percentiles of one latency, in seconds."""

    p95: Seconds
    p99: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.p95 > self.p99:
            raise ValueError(f"p95 ({self.p95}) is above p99 ({self.p99}); swap them")
        return self


class Goodput(StrictModel):
    """What makes one request good, and the share of all offered requests that must be."""

    ttft_seconds: Seconds
    tpot_seconds: Seconds
    e2e_seconds: Seconds
    minimum: Share
    """Good requests / all offered requests; failed and dropped ones count as misses."""

    def met_by(self, *, ttft_seconds: float | None, tpot_seconds: float | None, e2e_seconds: float) -> bool:
        """Whether a request that succeeded was good. None: does not apply (no stream; a single token)."""
        return (
            (ttft_seconds is None or ttft_seconds <= self.ttft_seconds)
            and (tpot_seconds is None or tpot_seconds <= self.tpot_seconds)
            and e2e_seconds <= self.e2e_seconds
        )


class Objectives(StrictModel):
    """What one road promises."""

    availability: Share
    """Requests not answered by a 5xx nor broken off by the server / all requests, over the window."""
    ttft_seconds: Percentiles
    """Time to the first token, streams."""
    tpot_seconds: Percentiles
    """Time per output token after the first, streams of two tokens or more."""
    e2e_seconds: Percentiles
    """Whole request."""
    goodput: Goodput


class RoadObjectives(StrictModel):
    """What a road promises differently; what is left out is as in `default`."""

    availability: Share | None = None
    ttft_seconds: Percentiles | None = None
    tpot_seconds: Percentiles | None = None
    e2e_seconds: Percentiles | None = None
    goodput: Goodput | None = None


class SloFile(StrictModel):
    """The whole file."""

    schema_version: Literal["trivium.slo/v1"]
    window_days: Annotated[int, Field(ge=1)]
    """Over which the error budget (1 - availability) is counted."""
    default: Objectives
    roads: dict[str, RoadObjectives] = {}

    def for_road(self, road: str) -> Objectives:
        """The objectives of `road`; a road that the file does not name has the default ones."""
        different = self.roads.get(road, RoadObjectives()).model_dump(exclude_none=True)
        return Objectives.model_validate(self.default.model_dump() | different)


def load_slo(path: Path = SLO_FILE) -> SloFile:
    """Read and check an SLO file. Raises ConfigError naming the file and the key."""
    return SloFile.from_yaml(path)
