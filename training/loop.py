"""The training loop. Every job (pretraining, fine-tuning, what comes later) brings an objective and runs it.

A step: sum gradients over micro-batches, look at the norm, clip, update, log; now and then evaluate on the
dev split and save a checkpoint. What is left out on purpose: callbacks, several optimizers, a trainer class.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic

import torch
from torch import Tensor, nn
from typing_extensions import TypeVar

from common.errors import TriviumError
from training.checkpoint import Checkpoints, Progress
from training.config import JobConfig
from training.display import ProgressDisplay
from training.loss import cross_entropy_sum
from training.model import Llama
from training.optim import FlatAdamW
from training.packing import Batch, BatchStream, Group

Model = TypeVar("Model", bound=nn.Module, default=Llama)
"""What is trained: our own Llama, or another module with an objective that knows it."""
Objective = Callable[[Model, Batch], Tensor]
"""The summed loss of a batch; the loop divides by the number of target tokens of the whole step."""


class TrainingDiverged(TriviumError):
    """Loss or gradients are no longer finite numbers."""


class NothingToLearn(TriviumError):
    """A step has no position that carries a loss."""


class Interrupted(TriviumError):
    """The job was told to stop by a signal; its state is saved. The exit code is the shell's for it."""

    def __init__(self, step: int, saved: Path, signal_number: int) -> None:
        super().__init__(f"stopped after step {step}, saved as {saved}; the same command goes on from there")
        self.exit_code = 128 + signal_number


def next_token_loss(model: Llama, batch: Batch) -> Tensor:
    """Summed cross-entropy over the batch's targets, in nats."""
    hidden = model(batch.tokens, batch.positions, batch.visible)
    return cross_entropy_sum(hidden.flatten(0, 1), model.embedding.weight, batch.targets.flatten())


@dataclass(slots=True)
class Run(Generic[Model]):
    """All that the loop works on."""

    name: str
    settings: JobConfig
    model: Model
    objective: Objective[Model]
    optimizer: FlatAdamW
    stream: BatchStream
    dev: list[Batch]
    """Dev batches, the same at every evaluation."""
    dev_groups: list[Group]
    """Dev prompts with their references."""
    checkpoints: Checkpoints
    total_steps: int
    device: torch.device
    log: Callable[[dict[str, Any]], None]
    """Takes the metrics of a step."""
    progress: Progress = field(default_factory=Progress)


def train(run: Run[Model]) -> None:
    """Train until `run.total_steps`; goes on from `run.progress`.

    Raises TrainingDiverged for a loss that is no number, Interrupted after SIGINT or SIGTERM (state saved),
    and CheckpointError where a checkpoint cannot be written.
    """
    settings, progress = run.settings, run.progress
    clock = time.perf_counter() - progress.seconds
    with stop_signals() as stop, ProgressDisplay(run.name, run.total_steps, progress.step) as display:
        while progress.step < run.total_steps:
            started = time.perf_counter()
            batches = [run.stream.next().to(run.device) for _ in range(settings.batch.accumulate)]
            rate = settings.optimizer.rate_at(progress.step, run.total_steps)
            loss, norm = take_step(run.model, run.objective, run.optimizer, batches, rate)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise diverged(run, loss, norm, rate, batches)

            tokens = count(progress, run.stream, batches)
            speed = tokens / (time.perf_counter() - started)
            metrics = {"step": progress.step, "tokens": progress.tokens, "loss": loss, "lr": rate}
            metrics |= {"epoch": progress.epoch, "grad_norm": norm, "tokens_per_second": speed}
            display.step(loss, speed)
            last = progress.step == run.total_steps
            if last or progress.step % settings.evaluation.every == 0:
                metrics["dev_loss"] = evaluate(run)
                display.say(f"{run.name}: step {progress.step}, dev loss {metrics['dev_loss']:.4f}")
            progress.seconds = time.perf_counter() - clock
            run.log({**metrics, "seconds": progress.seconds})
            if last or stop or progress.step % settings.checkpoint.every == 0:
                saved = run.checkpoints.save(progress, run.optimizer.state_tensors())
                if stop and not last:
                    raise Interrupted(progress.step, saved, stop[0])


def take_step(
    model: Model, objective: Objective[Model], optimizer: FlatAdamW, batches: list[Batch], rate: float
) -> tuple[float, float]:
    """One optimizer step over micro-batches; returns the mean loss per target token and the gradient norm.

    Where one of them is not finite, the weights stay as they are. Raises NothingToLearn.
    """
    targets = sum(batch.target_tokens for batch in batches)
    if not targets:
        raise NothingToLearn(f"all labels are masked in rows {name_rows(batches)}: nothing to learn")
    loss = accumulate(lambda batch: objective(model, batch), optimizer, batches, targets)
    norm = optimizer.grad_norm()
    if math.isfinite(loss) and math.isfinite(norm):
        optimizer.update(rate, norm)
    return loss, norm


def accumulate(
    loss_of: Callable[[Batch], Tensor], optimizer: FlatAdamW, batches: list[Batch], targets: int
) -> float:
    """Sum the gradients of the micro-batches in the optimizer; returns their summed loss over `targets`."""
    loss = 0.0
    for batch in batches:
        part = loss_of(batch) / targets
        part.backward()  # type: ignore[no-untyped-call]
        optimizer.collect()
        loss += part.item()
    return loss


def evaluate(run: Run[Model]) -> float:
    """Mean loss per target token on the dev batches, in nats; keeps the best in `run.progress`."""
    run.model.eval()
    # No torch.no_grad() here: the compiled forward pass of the training step is used again as it is.
    loss = sum(run.objective(run.model, batch).item() for batch in run.dev)
    run.model.train()
    mean = loss / sum(batch.target_tokens for batch in run.dev)
    progress = run.progress
    progress.last_dev_loss = mean
    progress.best_dev_loss = mean if progress.best_dev_loss is None else min(progress.best_dev_loss, mean)
    return mean


def count(progress: Progress, stream: BatchStream, batches: list[Batch]) -> int:
    """Book a step; returns its tokens without padding."""
    tokens = sum(batch.real_tokens for batch in batches)
    progress.step += 1
    progress.epoch, progress.row = stream.epoch, stream.row
    progress.tokens += tokens
    progress.positions += sum(batch.tokens.numel() for batch in batches)
    progress.target_tokens += sum(batch.target_tokens for batch in batches)
    return tokens


def diverged(
    run: Run[Model], loss: float, norm: float, rate: float, batches: list[Batch]
) -> TrainingDiverged:
    """The explanation of a loss that is no number: when, with what, on which rows, and what to do."""
    newest = run.checkpoints.newest()
    return TrainingDiverged(
        f"training diverged at step {run.progress.step + 1}: loss {loss}, gradient norm {norm}, learning "
        f"rate {rate:.2e}, rows {name_rows(batches)}. Weights were not updated; last checkpoint: "
        f"{newest or 'none'}. "
        "Lower optimizer.lr or optimizer.clip_norm, lengthen optimizer.warmup_share, look at those rows, "
        "or try precision=fp32; then start again with --fresh"
    )


def name_rows(batches: list[Batch]) -> str:
    """The ids of the data rows in a step, the first eight of them."""
    ids = [identity for batch in batches for identity in batch.ids]
    return ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGINT or SIGTERM came; a second SIGINT ends the job at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread can receive signals
        return

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > 1:
            raise KeyboardInterrupt

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
