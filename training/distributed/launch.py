"""A synchronous job (ddp, fsdp, pipeline) on Ray Train."""

from __future__ import annotations

import os
from typing import Any

from training.checkpoint import Checkpoints
from training.distributed.config import DistributedError
from training.distributed.job import Job
from training.distributed.record import attempts_of


def run_trainer(job: Job) -> dict[str, Any]:
    """Train on the running cluster; returns the summary of rank 0.

    Raises DistributedError for a mistake that workers found, or for more than `max_failures` lost workers.
    """
    from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig
    from ray.train.v2.api.exceptions import TrainingFailedError

    from training.distributed.worker import train_worker

    settings = job.settings
    trainer = _trainer_class()(
        train_worker,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="nccl" if job.device == "cuda" else "gloo", timeout_s=600),
        scaling_config=ScalingConfig(
            num_workers=settings.workers, use_gpu=job.device == "cuda", resources_per_worker={"CPU": 1}
        ),
        # Ray Train's folder of checkpoints is ours, so that reporting one copies nothing.
        run_config=RunConfig(
            name="checkpoints", storage_path=str(settings.output),
            failure_config=FailureConfig(max_failures=settings.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=settings.checkpoint.keep),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )  # fmt: skip
    try:
        result = trainer.fit()
    except TrainingFailedError as exc:
        newest = Checkpoints(settings.output / "checkpoints", {}, 1).newest()
        where = f"the same command goes on from {newest}" if newest else "there was no checkpoint yet"
        raise DistributedError(
            f"gave up after {settings.max_failures + 1} attempts (max_failures = {settings.max_failures}): "
            f"{_last_line(exc)}; {where}"
        ) from exc
    except SystemExit:  # Ray Train's answer to Ctrl-C, with exit code 0
        raise KeyboardInterrupt from None
    summary: dict[str, Any] = result.return_value or {"error": "the job was stopped"}
    if "error" in summary:
        raise DistributedError(summary["error"])
    return {**summary, "attempts": attempts_of(settings, "workers")}


def _trainer_class() -> Any:
    """TorchTrainer without the processes that nothing here needs: each takes 200 MB and seconds to start.

    If another version of Ray builds its callbacks elsewhere, this is TorchTrainer and nothing is lost.
    """
    from ray.train.torch import TorchTrainer

    unused = {"DatasetsCallback"}  # Ray Data; workers get their rows through the object store
    if not os.environ.get("RAY_ADDRESS"):
        unused.add("PlacementGroupCleanerCallback")  # a private cluster ends with the job

    class LeanTrainer(TorchTrainer):  # type: ignore[misc]
        def _create_default_callbacks(self) -> list[Any]:
            return [each for each in super()._create_default_callbacks() if type(each).__name__ not in unused]

    return LeanTrainer


def _last_line(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(exc).__name__
