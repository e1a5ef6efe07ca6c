"""`python -m training dist compare`: the strategies side by side on the same batches, and a page about it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from common.config import StrictModel
from common.errors import ConfigError
from common.files import atomic_write
from training.distributed.cluster import cluster
from training.distributed.config import DistributedConfig, Strategy
from training.distributed.train import train


class Variant(StrictModel):
    """One run of the suite."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    """Its folder."""
    label: str
    strategy: Strategy
    change: dict[str, Any] = {}
    """Settings that differ from `base`."""


class CompareConfig(StrictModel):
    """`training/configs/distributed-compare.yaml`."""

    output: Path
    base: dict[str, Any]
    """Settings of all runs, as in `distributed.yaml`."""
    runs: list[Variant] = Field(min_length=1)
    """The first is what the others are compared with; its loss curve is that of one worker."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [run.name for run in self.runs]
        if len(set(names)) < len(names):
            raise ValueError("two runs have the same name")
        return self

    def settings_of(self, run: Variant) -> DistributedConfig:
        """The whole settings of a run. Raises ConfigError naming it."""
        output = {"output": str(self.output / "runs" / run.name)}
        return DistributedConfig.from_dict(
            _merged(_merged(self.base, run.change), output), f"runs.{run.name}"
        )


@dataclass(frozen=True, slots=True)
class Compared:
    """One run with what it is compared by."""

    run: Variant
    result: dict[str, Any]
    metrics: list[dict[str, Any]]

    @property
    def speed(self) -> float:
        """Packed rows per second of training, without start, evaluation and checkpoints."""
        return float(self.result["rows_per_second"])

    def largest_difference(self, other: Compared) -> float:
        """Largest difference of the two loss curves at the same step, in nats."""
        pairs = zip(self.metrics, other.metrics, strict=True)
        return float(max(abs(mine["loss"] - theirs["loss"]) for mine, theirs in pairs))


def compare_all(config: CompareConfig) -> list[Path]:
    """Run what has not been run yet, write result.json, plots and page; returns the paths."""
    from training.distributed.page import write_page

    settings = [config.settings_of(run) for run in config.runs]  # all mistakes before the first run
    if not any(
        run.strategy == "ddp" and s.workers == 1 for run, s in zip(config.runs[:1], settings, strict=False)
    ):
        raise ConfigError("runs: the first one must be of strategy ddp with workers: 1, to compare with")
    compared = []
    with cluster(max(each.workers for each in settings)):
        for number, (run, each) in enumerate(zip(config.runs, settings, strict=True), start=1):
            print(f"[{number}/{len(settings)}] {run.label}", file=sys.stderr)
            result = train(run.strategy, each)
            lines = (each.output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            compared.append(Compared(run, result, [json.loads(line) for line in lines]))
    figures = {"cores": cores(), "runs": [row(each, compared[0]) for each in compared]}
    atomic_write(config.output / "result.json", json.dumps(figures, indent=2) + "\n")
    return [config.output / "result.json", *write_page(config.output, compared, figures)]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def row(each: Compared, first: Compared) -> dict[str, Any]:
    """The figures of a run in the table."""
    result = each.result
    state = [worker.get("state_bytes") for worker in result["per_worker"]]
    return {
        "name": each.run.name, "label": each.run.label, "strategy": each.run.strategy,
        "workers": result["workers"],
        "steps": result["steps"], "rows": result["rows"], "tokens": result["tokens"],
        "train_loss": mean_tail([line["loss"] for line in each.metrics]), "dev_loss": result["dev_loss"],
        "largest_loss_difference": each.largest_difference(first), "train_seconds": result["timed_seconds"],
        "total_seconds": result["total_seconds"], "rows_per_second": each.speed,
        "speed_up": each.speed / first.speed,
        "state_bytes_per_worker": max(state) if all(state) else None, "staleness": result.get("staleness"),
        "bubble_share": result.get("bubble_share"), "bubble_formula": result.get("bubble_formula"),
        "bubble_imbalanced": result.get("bubble_imbalanced"),
    }  # fmt: skip


def mean_tail(losses: list[float], share: float = 0.1) -> float:
    """Mean of the last tenth: the loss of a single batch is noisy."""
    tail = losses[-max(1, round(share * len(losses))) :]
    return sum(tail) / len(tail)


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
