"""Asynchronous SGD on Ray actors: workers pull weights and push gradients whenever they are ready."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

from common.errors import TriviumError
from common.files import atomic_write
from training.distributed.async_worker import AsyncWorker
from training.distributed.config import DistributedConfig, DistributedError
from training.distributed.job import Job
from training.distributed.record import attempts_of, start_of
from training.distributed.server import ParameterServer


class ServerActor(ParameterServer):
    """The server as an actor, which can start again: it makes or reads the start model by itself."""

    def __init__(self, settings: DistributedConfig, identity: dict[str, Any], steps: int) -> None:
        super().__init__(settings, identity, start_of(settings)[1], steps)


@dataclass(slots=True)
class Crew:
    """The running workers, and how to start another."""

    job: Job
    server: Any
    hired: int = 0
    """Workers so far; each has its number, also one that takes the place of another."""
    actors: list[Any] = field(default_factory=list)
    """All of them."""
    lost: list[int] = field(default_factory=list)
    """The update at which each loss was noticed."""

    def hire(self, count: int) -> dict[Any, tuple[int, Any]]:
        """Start workers: reference of the result to number and handle. They begin together."""
        import ray

        job = self.job
        options = {"num_cpus": 1, "num_gpus": 1 if job.device == "cuda" else 0}
        workers = {}
        for number in range(self.hired, self.hired + count):
            actor = ray.remote(AsyncWorker).options(**options)
            workers[number] = actor.remote(number, job.settings, job.corpus, job.model, job.device)
        self.hired += count
        self.actors += workers.values()
        # The first of them would otherwise take many batches before the last has imported torch.
        ray.wait([worker.who.remote() for worker in workers.values()], num_returns=count)
        return {worker.work.remote(self.server): (number, worker) for number, worker in workers.items()}

    def run(self) -> tuple[list[Any], list[dict[str, Any]]]:
        """Until all batches are done; a lost worker is replaced. Returns handles and what they measured.

        Raises DistributedError for more losses than `max_failures`.
        """
        import ray

        workers, figures = [], []
        running = self.hire(self.job.settings.workers)
        while running:
            (ref,), _ = ray.wait(list(running), num_returns=1)
            number, worker = running.pop(ref)
            try:
                figures.append({"worker": number, **ray.get(ref)})
                workers.append(worker)
            except ray.exceptions.RayTaskError:
                raise  # its own mistake, or the server is lost
            except ray.exceptions.RayActorError as exc:
                self.lost.append(ray.get(self.server.forget.remote(number)))
                if len(self.lost) > (limit := self.job.settings.max_failures):
                    raise DistributedError(
                        f"gave up: workers were lost {len(self.lost)} times (max_failures = {limit}); the "
                        "same command goes on from the last checkpoint"
                    ) from exc
                print(f"async: worker {number} was lost; another takes its place", file=sys.stderr)
                running |= self.hire(1)
        return workers, figures


def run_actors(job: Job) -> dict[str, Any]:
    """Train on the running cluster; returns what was measured.

    Raises DistributedError for a mistake that workers found, or for more than `max_failures` lost workers.
    """
    import ray

    try:
        return _run(job)
    except ray.exceptions.RayError as exc:
        raise _explained(exc) from exc


def _run(job: Job) -> dict[str, Any]:
    import ray

    # Beside the workers and their CPUs: it computes little. A new one goes on from its last checkpoint.
    options = {"num_cpus": 0, "max_restarts": job.settings.max_failures, "max_task_retries": -1}
    server = ray.remote(ServerActor).options(**options).remote(job.settings, job.identity, job.steps)
    crew = Crew(job, server)
    try:
        workers, figures = crew.run()
        summary: dict[str, Any] = ray.get(server.finish.remote())
        snapshots = summary.pop("snapshots")
        losses = {step: ray.get(workers[0].dev_loss.remote(weights)) for step, weights in snapshots.items()}
    finally:
        for actor in (*crew.actors, server):
            ray.kill(actor)  # at once, so that the next job has their CPUs
    _note_dev_losses(job.settings, losses)
    return {
        **summary, "dev_loss": losses[job.steps], "best_dev_loss": min(losses.values()),
        "timed_seconds": summary["seconds"], "per_worker": figures, "device": job.device,
        # A new worker changes nothing of what was learnt; a new server goes back to a checkpoint.
        "attempts": [*attempts_of(job.settings, "server"), *crew.lost],
    }  # fmt: skip


def _explained(exc: BaseException) -> DistributedError:
    """The mistake behind an error that came over one or two actors."""
    import ray

    while isinstance(exc, ray.exceptions.RayTaskError):
        exc = exc.cause
    if isinstance(exc, TriviumError):
        return DistributedError(str(exc))
    lines = str(exc).strip().splitlines() or [type(exc).__name__]
    return DistributedError(
        f"asynchronous training failed ({lines[0]}); the same command goes on from the last checkpoint"
    )


def _note_dev_losses(settings: DistributedConfig, losses: dict[int, float]) -> None:
    """Add the dev losses, which are taken afterwards and off the clock, to the metrics of their steps."""
    path = settings.output / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["step"] in losses:
            line["dev_loss"] = losses[line["step"]]
    atomic_write(path, "".join(json.dumps(line) + "\n" for line in lines))
