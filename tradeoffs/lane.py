"""Measure one lane: one road with one format, through the gateway, on the same requests as all others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel

from bundle import Bundle
from common.errors import TriviumError
from common.files import atomic_write
from evaluation.client import Settings, complete_many
from roads import RoadSpec, open_road
from tradeoffs import parity, quality
from tradeoffs.config import DemoConfig, LaneConfig, LoadConfig
from tradeoffs.gateway import gateway_to
from tradeoffs.report.model import CurvePoint, Lane, LoadFigures, QualityMetric

INVALID_RUN = 3
"""Exit code of the load harness where the client was the bottleneck or errors passed their limit."""


class LaneError(TriviumError):
    """The load harness failed."""

    exit_code = 1


class LaneResult(BaseModel):
    """A measured lane and what it answered."""

    lane: Lane
    bundle_digest: str
    inputs: list[str]
    outputs: list[str]


def measure_lane(config: DemoConfig, lane: LaneConfig, bundle_dir: Path, references: Path) -> LaneResult:
    """Start the road, put the gateway before it, and measure parity, quality, load and memory.

    Raises a TriviumError where the road does not start or the harness fails.
    """
    folder = config.folder / "lanes" / lane.name
    bundle = Bundle.open(bundle_dir)
    wanted = quality.References.read(references, config.quality.inputs)
    with open_road(RoadSpec(road=lane.road, format=lane.format), bundle_dir, log_dir=folder) as road:
        gateway = gateway_to(
            road.base_url, model=bundle.model_id, road=lane.road, bundle_digest=bundle.digest, folder=folder
        )
        with gateway as url:
            answers = parity.ask(url, bundle.model_id, bundle.manifest.golden)
            settings = Settings(max_tokens=config.quality.max_tokens)
            outputs = complete_many(url, bundle.model_id, wanted.inputs, settings=settings)
            prompts = folder / "prompts.jsonl"
            atomic_write(prompts, "".join(json.dumps({"input": text}) + "\n" for text in wanted.inputs))
            target = ["--url", url, "--model", bundle.model_id, "--road", lane.road, "--inputs", str(prompts)]
            load = _run_load(config.load, target, folder / "load")
            curve = _run_curve(config.load, target, folder / "curve")
        memory = road.rss_bytes()
        measured = Lane(
            road=lane.road,
            format=lane.format,
            simulated=list(road.simulated),
            notes=list(road.notes),
            quality=_quality(outputs, wanted, config),
            parity=parity.compare(bundle.manifest.golden, answers, _eos_ids(bundle)),
            load=load,
            curve=curve,
            memory_bytes=memory,
            cold_start_seconds=[road.cold_start_seconds],
            artifact_bytes=road.artifact_bytes,
        )
    return LaneResult(lane=measured, bundle_digest=bundle.digest, inputs=wanted.inputs, outputs=outputs)


def _quality(outputs: list[str], wanted: quality.References, config: DemoConfig) -> list[QualityMetric]:
    report = quality.scored(outputs, wanted, quality.METRICS, config.quality.resamples)
    return quality.for_report(report)


def _eos_ids(bundle: Bundle) -> set[int]:
    stops = json.loads((bundle.model_dir / "generation_config.json").read_text()).get("eos_token_id")
    return set(stops) if isinstance(stops, list) else {stops}


def _run_load(load: LoadConfig, target: list[str], output: Path) -> LoadFigures:
    overrides = [argument for value in load.scenario_set for argument in ("--set", value)]
    _harness("run", ["--scenario", str(load.scenario), "--output", str(output), *target, *overrides])
    return LoadFigures.from_result(json.loads((output / "result.json").read_text()))


def _run_curve(load: LoadConfig, target: list[str], output: Path) -> list[CurvePoint]:
    ladder = {
        "--start": load.curve_start,
        "--factor": load.curve_factor,
        "--seconds": load.curve_seconds,
        "--max-points": load.curve_points,
        "--refine": load.curve_refine,
    }
    steps = [text for name, value in ladder.items() for text in (name, str(value))]
    _harness("curve", ["--scenario", str(load.curve), "--output", str(output), *target, *steps])
    return CurvePoint.from_curve(json.loads((output / "curve.json").read_text()))


def _harness(command: str, arguments: list[str]) -> None:
    """Run the load harness in its own process, since gevent patches the standard library there."""
    finished = subprocess.run([sys.executable, "-m", "tests.load", command, *arguments], check=False)
    if finished.returncode not in (0, INVALID_RUN):
        raise LaneError(f"the load harness ended with exit code {finished.returncode}; see the lines above")
