"""What the report is made of: the measurements of the main job, as one JSON document.

A *lane* is one road with one format of the model (`edge` with `int4`). Everything a lane can be compared by
was measured on the same requests. Times are seconds, sizes bytes, shares 0 to 1. A value that was not
measured is null or left out; the page then says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from common.config import StrictModel
from common.errors import TriviumError
from common.machine import Machine
from common.pages.figures import Ci95
from tradeoffs.parity import Parity

SCHEMA: Literal["trivium.tradeoffs/v1"] = "trivium.tradeoffs/v1"


class ReportError(TriviumError):
    """The measurements or the price file cannot be used."""


class DataCard(StrictModel):
    """The data that the model was trained on (`data/<name>/card.json`)."""

    name: str
    source: str
    licence: str
    digest: str
    rows: dict[str, int]
    """Split → pairs."""


class Training(StrictModel):
    """How the model came about."""

    seconds: float = Field(ge=0)
    """All training jobs together."""
    tokens: int | None = None
    tokens_per_second: float | None = None
    settings: dict[str, str | int | float] = {}
    """What a reader wants to know, for example {"size": "nano", "steps": 2400}; printed as it is."""


class BundleCard(StrictModel):
    """The bundle that every lane served."""

    name: str
    version: str
    digest: str
    parameters: int = Field(gt=0)
    data: DataCard | None = None
    training: Training | None = None


class QualityMetric(StrictModel):
    """One figure of the quality of a lane's outputs."""

    key: str
    """`bleu`, `chrf`, `slot_error_rate` …; the same key in every lane is compared."""
    label: str
    value: float
    ci95: Ci95 = (None, None)
    n: int = Field(gt=0)
    """Inputs (distinct) that were scored."""
    unit: str = ""
    higher_is_better: bool | None = True
    """Null: a description (length, for example), neither is better."""


class Latency(StrictModel):
    """Percentiles of one latency."""

    n: int = Field(ge=0)
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    p50_ci95: Ci95 = (None, None)
    p95_ci95: Ci95 = (None, None)
    p99_ci95: Ci95 = (None, None)
    formula: str = ""


class LoadFigures(StrictModel):
    """A lane under the SLO scenario; `from_result` takes it out of the load harness's `result.json`."""

    scenario: str
    offered: int
    offered_rate: float
    """Requests per second."""
    goodput: float
    goodput_ci95: Ci95
    error_share: float
    output_tokens_per_second: float
    requests_per_second: float
    latencies: dict[str, Latency]
    """`ttft`, `ttft_intended`, `tpot`, `itl`, `e2e`, `e2e_intended`, `lateness`."""
    valid: bool
    invalid_reasons: list[str] = []
    slo_attained: bool
    slo_missed: list[str] = []
    slo: dict[str, Any] = {}
    client_core_share: float
    """Mean CPU of the busiest client process, of one core."""

    @classmethod
    def from_result(cls, result: dict[str, Any]) -> Self:
        """From `result.json` of `python -m tests.load run`. Raises ReportError where it is something else."""
        try:
            verdict, client = result["verdict"], result["client"]
            timings = result["metrics"] | {"lateness": client["lateness"]}
            return cls(
                scenario=result["scenario"]["name"],
                offered=result["offered"],
                offered_rate=result["offered_rate"],
                goodput=result["goodput"]["share"],
                goodput_ci95=tuple(result["goodput"]["ci95"]),
                error_share=result["errors"]["share"],
                output_tokens_per_second=result["throughput"]["output_tokens_per_second"],
                requests_per_second=result["throughput"]["requests_per_second"],
                latencies={name: _latency(values) for name, values in timings.items()},
                valid=verdict["valid"],
                invalid_reasons=verdict["reasons"],
                slo_attained=verdict["slo_attained"],
                slo_missed=verdict["slo_missed"],
                slo=result["slo"],
                client_core_share=client["core_share"],
            )
        except (KeyError, TypeError, ValidationError) as exc:
            raise ReportError(f"not a result of the load harness: {exc}") from exc


class CurvePoint(StrictModel):
    """One rate of the capacity ladder."""

    offered_rate: float
    achieved_rate: float
    output_tokens_per_second: float
    n: int
    goodput: float
    goodput_ci95: Ci95 = (None, None)
    ttft_intended_p50: float | None = None
    ttft_intended_p95: float | None = None
    e2e_intended_p50: float | None = None
    e2e_intended_p95: float | None = None
    slo_attained: bool
    valid: bool
    saturated: str | None = None
    """Why this rate is beyond the capacity; null where the server kept up."""

    @property
    def sustained(self) -> bool:
        """A valid run in which the server kept up and kept the SLO."""
        return self.valid and self.slo_attained and self.saturated is None

    @classmethod
    def from_curve(cls, curve: dict[str, Any]) -> list[Self]:
        """From `curve.json` of the load harness. Raises ReportError where it is something else."""
        try:
            return [cls(**{key: point[key] for key in cls.model_fields}) for point in curve["points"]]
        except (KeyError, TypeError, ValidationError) as exc:
            raise ReportError(f"not a curve of the load harness: {exc}") from exc


class Lane(StrictModel):
    """One road with one format."""

    road: str
    format: str
    simulated: list[str] = []
    """What is not the real thing, for example ["network"]."""
    notes: list[str] = []
    """Further facts about this lane, for example the network profile in words."""
    quality: list[QualityMetric] = []
    parity: Parity | None = None
    load: LoadFigures | None = None
    curve: list[CurvePoint] = []
    memory_bytes: int | None = None
    """Resident memory of the server's process tree after the load."""
    cold_start_seconds: list[float] = []
    """Process start until /ready, one value per start."""
    artifact_bytes: int | None = None
    """Files that this format loads."""

    @property
    def key(self) -> str:
        """`road/format`."""
        return f"{self.road}/{self.format}"


class Sample(StrictModel):
    """One input with its references and what each lane answered."""

    input: str
    references: list[str] = []
    outputs: dict[str, str]
    """Lane key (`edge/int4`) → text."""


class ReportInput(StrictModel):
    """Everything the page shows except prices, which come from `tradeoffs/prices.yaml`."""

    schema_version: Literal["trivium.tradeoffs/v1"] = SCHEMA
    created: str
    """When the measurements ended, RFC 3339."""
    machine: Machine
    versions: dict[str, str]
    """Package → version."""
    bundle: BundleCard
    lanes: list[Lane] = Field(min_length=1)
    samples: list[Sample] = []
    primary_metric: str = "bleu"
    """Key of the quality metric in the plots and the recommendation."""
    not_measured: list[str] = []
    """Sentences; the page adds what it sees missing."""

    @model_validator(mode="after")
    def _lanes_differ(self) -> Self:
        keys = [lane.key for lane in self.lanes]
        if doubled := sorted({key for key in keys if keys.count(key) > 1}):
            raise ValueError(f"lanes given twice: {', '.join(doubled)}")
        if strangers := sorted({key for sample in self.samples for key in sample.outputs} - set(keys)):
            raise ValueError(f"samples of lanes that are not there: {', '.join(strangers)}")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a results file. Raises ReportError naming the file and the first wrong field."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as exc:
            raise ReportError(f"{path}: no such file; run `python -m tradeoffs demo` first") from exc
        except OSError as exc:
            raise ReportError(f"{path}: cannot be read: {exc.strerror}") from exc
        except ValidationError as exc:
            problem = exc.errors()[0]
            where = ".".join(str(part) for part in problem["loc"]) or "the whole file"
            raise ReportError(f"{path}: {where}: {problem['msg']}") from exc


def _latency(values: dict[str, Any]) -> Latency:
    return Latency(**{key: values[key] for key in Latency.model_fields if key in values})
