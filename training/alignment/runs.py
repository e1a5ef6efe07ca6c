"""What every alignment job does around its steps: recognise a finished run, resume, log, check, save.

A step's data depend on the seed and the step's number alone, so weights and optimizer state are all that a
checkpoint needs: a resumed run ends with the same bits.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.files import atomic_write, sha256_file
from training import hardware
from training.alignment.config import AlignmentConfig
from training.alignment.errors import AlignmentDiverged
from training.checkpoint import Checkpoints, Progress
from training.display import ProgressDisplay
from training.examples import ExamplesError
from training.loop import Interrupted, stop_signals
from training.optim import FlatAdamW
from training.tracking import MetricsFile, MlflowLogger, flatten

Step = Callable[[int], dict[str, float]]
"""Does the step of that number; its metrics hold at least `loss` and `tokens` (positions trained on)."""
_NOT_IDENTITY = {"output", "checkpoint", "mlflow", "threads"}
_MLFLOW_EVERY = 5


@dataclass(slots=True)
class Job:
    """One run of one job."""

    name: str
    settings: AlignmentConfig
    identity: dict[str, Any]
    device: torch.device

    @property
    def output(self) -> Path:
        """The run folder."""
        return self.settings.output


def open_job(name: str, settings: AlignmentConfig, files: dict[str, Path | None]) -> Job:
    """Prepare a run; `files` decide the result together with the settings. Raises ExamplesError."""
    rows = settings.data / "train.jsonl"
    if not rows.is_file():
        raise ExamplesError(f"{rows}: no such file; `python -m training data --config …` prepares a data set")
    hardware.set_threads(settings.threads)
    torch.manual_seed(settings.seed)
    values = settings.model_dump(mode="json", exclude=_NOT_IDENTITY)
    digests = {
        f"{key}_sha256": sha256_file(path) if path else None for key, path in {"data": rows, **files}.items()
    }
    identity = json.loads(json.dumps({"job": name, **values, **digests}))
    return Job(name, settings, identity, hardware.choose_device())


def finished_result(job: Job) -> dict[str, Any] | None:
    """The result of an earlier run of the same identity in this folder, if it came to its end."""
    try:
        result = json.loads((job.output / "result.json").read_text(encoding="utf-8"))
        saved = json.loads((job.output / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = saved.get("identity") == job.identity and (job.output / "model" / "model.safetensors").exists()
    return dict(result) if same else None


def run_steps(job: Job, optimizer: FlatAdamW, total: int, take_step: Step) -> Progress:
    """Take the steps that are left, from the last checkpoint on; log each, save now and then.

    Raises AlignmentDiverged, Interrupted (state saved) and CheckpointError.
    """
    checkpoints = Checkpoints(job.output / "checkpoints", job.identity, job.settings.checkpoint.keep)
    progress = Progress()
    if newest := checkpoints.newest():
        progress, tensors = checkpoints.load(newest)
        optimizer.load_state_tensors(tensors)
    (job.output / "result.json").unlink(missing_ok=True)  # of an earlier run with other settings
    atomic_write(job.output / "config.json", json.dumps({"identity": job.identity}, indent=2) + "\n")
    metrics = MetricsFile(job.output / "metrics.jsonl", progress.step)
    mlflow = MlflowLogger(job.output, job.name, flatten(job.identity)) if job.settings.mlflow else None
    clock = time.perf_counter() - progress.seconds
    try:
        with stop_signals() as stop, ProgressDisplay(job.name, total, progress.step) as display:
            if newest:
                display.say(f"{job.name}: goes on from {newest}")
            while progress.step < total:
                started = time.perf_counter()
                values = take_step(progress.step)
                tokens = int(values.pop("tokens"))
                progress.step += 1
                progress.tokens += tokens
                progress.seconds = time.perf_counter() - clock
                values = {
                    "step": progress.step,
                    **values,
                    "tokens": progress.tokens,
                    "seconds": progress.seconds,
                }
                metrics.write(values)
                if mlflow and progress.step % _MLFLOW_EVERY == 0:
                    mlflow.log(progress.step, {key: value for key, value in values.items() if key != "step"})
                display.step(values["loss"], tokens / (time.perf_counter() - started))
                last = progress.step == total
                if last or stop or progress.step % job.settings.checkpoint.every == 0:
                    saved = checkpoints.save(progress, optimizer.state_tensors())
                    if stop and not last:
                        raise Interrupted(progress.step, saved, stop[0])
    finally:
        metrics.close()
        if mlflow:
            mlflow.close(finished=progress.step == total)
    return progress


def update(job: Job, optimizer: FlatAdamW, loss: Tensor, step: int, total: int) -> float:
    """One gradient step; returns the gradient norm. Raises AlignmentDiverged, weights left as they are."""
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.collect()
    norm = optimizer.grad_norm()
    if not (math.isfinite(loss.item()) and math.isfinite(norm)):
        raise AlignmentDiverged(
            f"{job.name} diverged at step {step + 1}: loss {loss.item()}, gradient norm {norm}. Weights were "
            "not updated. Lower optimizer.lr or optimizer.clip_norm, or strengthen the tie to the reference "
            "(beta, kl_coef); then start again with --fresh"
        )
    optimizer.update(job.settings.optimizer.rate_at(step, total), norm)
    return norm


def write_result(job: Job, result: dict[str, Any]) -> dict[str, Any]:
    """Write result.json with what all jobs note; returns it."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    whole = {"job": job.name, **result, "peak_rss_bytes": hardware.peak_rss_bytes(), "finished_at": stamp}
    atomic_write(job.output / "result.json", json.dumps(whole, indent=2) + "\n")
    return whole


def parameter_count(model: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in model.parameters())
