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
from training.tokenizer import train_tokenizer


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
    """The first, of one worker, is what the others are compared with; one that differs from it in the seed
    alone shows the noise."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [run.name for run in self.runs]
        if len(set(names)) < len(names):
            raise ValueError("two runs have the same name")
        return self

    def only(self, names: list[str]) -> CompareConfig:
        """These runs alone, and the first. Raises ConfigError for an unknown name."""
        known = [run.name for run in self.runs]
        if unknown := set(names) - set(known):
            raise ConfigError(f"--only {sorted(unknown)[0]}: no such run; known: {', '.join(known)}")
        return self.model_copy(update={"runs": [r for r in self.runs if r.name in {known[0], *names}]})

    def settings_of(self, run: Variant) -> DistributedConfig:
        """The whole settings of a run. Raises ConfigError naming it."""
        own = {"output": str(self.output / "runs" / run.name)}
        if not {"tokenizer", "from"} & self.base.keys():
            own["tokenizer"] = str(self.output / "tokenizer")  # one for all
        return DistributedConfig.from_dict(_merged(_merged(self.base, run.change), own), f"runs.{run.name}")


@dataclass(frozen=True, slots=True)
class Compared:
    """One run with what it is compared by."""

    run: Variant
    seed: int
    is_repeat: bool
    """One worker again, with another seed: what it changes is noise."""
    result: dict[str, Any]
    metrics: list[dict[str, Any]]

    @property
    def speed(self) -> float:
        """Packed rows per second of training, without start, evaluation and checkpoints."""
        return float(self.result["rows_per_second"])

    def differences(self, other: Compared) -> list[float]:
        """Of the two loss curves at each step, in nats; steps that one of them lacks are left out."""
        theirs = {line["step"]: line["loss"] for line in other.metrics}
        return [abs(x["loss"] - theirs[x["step"]]) for x in self.metrics if x["step"] in theirs]


def compare_all(config: CompareConfig) -> list[Path]:
    """Run what has not been run yet, write result.json, plots and page; returns the paths."""
    from training.distributed.page import write_page

    settings = [config.settings_of(run) for run in config.runs]  # all mistakes before the first run
    first = settings[0]
    if config.runs[0].strategy != "ddp" or first.workers != 1:
        raise ConfigError("runs: the first one must be of strategy ddp with workers: 1, to compare with")
    if first.tokenizer == config.output / "tokenizer" and not (first.tokenizer / "tokenizer.json").exists():
        train_tokenizer(first.data, first.tokenizer)
    compared = []
    with cluster(max(each.workers for each in settings)):
        for number, (run, each) in enumerate(zip(config.runs, settings, strict=True), start=1):
            print(f"[{number}/{len(settings)}] {run.label}", file=sys.stderr)
            result = train(run.strategy, each)
            lines = (each.output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            repeat = number > 1 and run.strategy == "ddp" and _but_seed(each) == _but_seed(first)
            compared.append(Compared(run, each.seed, repeat, result, [json.loads(line) for line in lines]))
    figures = figures_of(compared)
    atomic_write(config.output / "result.json", json.dumps(figures, indent=2) + "\n")
    return [config.output / "result.json", *write_page(config.output, compared, figures)]


def figures_of(compared: list[Compared]) -> dict[str, Any]:
    """What result.json holds; `seed_spread` is the span of the dev losses of one worker over the seeds."""
    repeated = [compared[0], *(each for each in compared if each.is_repeat)]
    losses = [each.result["dev_loss"] for each in repeated]
    return {
        "cores": len(os.sched_getaffinity(0)), "seeds": [each.seed for each in repeated],
        "seed_spread": max(losses) - min(losses) if len(losses) > 1 else None,
        "runs": [row(each, compared[0]) for each in compared],
    }  # fmt: skip


def row(each: Compared, first: Compared) -> dict[str, Any]:
    """The figures of a run in the table."""
    result = each.result
    state = [worker.get("state_bytes") for worker in result["per_worker"]]
    return {
        "name": each.run.name, "label": each.run.label, "strategy": each.run.strategy,
        "seed": each.seed, "workers": result["workers"],
        "steps": result["steps"], "rows": result["rows"], "tokens": result["tokens"],
        "train_loss": mean_tail([line["loss"] for line in each.metrics]), "dev_loss": result["dev_loss"],
        "largest_loss_difference": max(each.differences(first), default=None),
        "train_seconds": result["timed_seconds"],
        "total_seconds": result["total_seconds"], "rows_per_second": each.speed,
        "speed_up": each.speed / first.speed, "peak_rss_bytes": result["peak_rss_bytes"],
        "state_bytes_per_worker": max(state) if all(state) else None, "staleness": result.get("staleness"),
        "bubble_share": result.get("bubble_share"), "bubble_formula": result.get("bubble_formula"),
        "bubble_imbalanced": result.get("bubble_imbalanced"), "micro_batches": result.get("micro_batches"),
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


def _but_seed(settings: DistributedConfig) -> dict[str, Any]:
    return settings.model_dump(exclude={"seed", "output"})
