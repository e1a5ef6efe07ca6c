"""From settings to a `Run`: data, optimizer, the last checkpoint and a compiled model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

import torch

from training import hardware
from training.checkpoint import Checkpoints, Progress
from training.config import JobConfig
from training.examples import ChatTokenizer, Examples
from training.kinds import ModelKind, OwnLlama, require_sizes
from training.loop import Model, Objective, Run, next_token_loss
from training.optim import FlatAdamW
from training.packing import Batch, BatchStream, PackedData, dev_batches

Reader = Callable[[Path, ChatTokenizer, int], Examples]

_COMPILE_PAYS_FROM = 2.5e12
"""Parameters x positions of a run from which the time to compile (about 20 s) is won back."""


@dataclass(slots=True)
class Task(Generic[Model]):
    """What makes a job this job."""

    name: str
    settings: JobConfig
    tokenizer: ChatTokenizer
    model: Model
    read: Reader
    """How the rows of a split become groups."""
    # mypy cannot see that both defaults go with the default of `Model`, our own Llama.
    objective: Objective[Model] = next_token_loss  # type: ignore[assignment]
    kind: ModelKind[Model] = field(default_factory=OwnLlama)  # type: ignore[arg-type]


def prepare(task: Task[Model], checkpoints: Checkpoints) -> tuple[Run[Model], dict[str, Any]]:
    """All that the loop needs, set to the last checkpoint if there is one; and the facts worth noting."""
    settings, batch, model = task.settings, task.settings.batch, task.model
    sizes = task.kind.sizes(model)
    require_sizes(batch.row_tokens, task.tokenizer, sizes)
    if settings.activation_checkpointing:
        task.kind.recompute(model)
    threads = hardware.set_threads(settings.threads)
    dtype, device = hardware.choose_dtype(settings.precision), hardware.choose_device()
    _be_deterministic(settings.seed)

    examples = task.read(settings.data / "train.jsonl", task.tokenizer, batch.row_tokens)
    stream = BatchStream(_packed(task, examples), batch.rows)
    rows_per_step = stream.rows_per_batch * batch.accumulate
    total_steps = settings.max_steps or stream.steps(settings.epochs, batch.accumulate)
    dev_data = _packed(task, _dev_examples(task, examples))
    most = settings.evaluation.max_batches
    dev = [part.to(device) for part in dev_batches(dev_data, most, stream.rows_per_batch)]

    optimizer = FlatAdamW(model.to(device), settings.optimizer, dtype)
    progress = Progress()
    if newest := checkpoints.newest():
        progress, tensors = checkpoints.load(newest)
        optimizer.load_state_tensors(tensors)
        stream.seek(progress.epoch, progress.row)
        print(f"{task.name}: goes on from {newest}", file=sys.stderr)

    work = sizes.parameters * (total_steps - progress.step) * rows_per_step * batch.row_tokens
    wanted = settings.compile == "always" or (settings.compile == "auto" and work > _COMPILE_PAYS_FROM)
    compiled = wanted and _compile(task, dev[0])
    facts = {
        "model": sizes.config, "vocab_size": sizes.vocabulary, "parameters": sizes.parameters,
        "trainable_parameters": sizes.trainable,
        "train_rows": examples.rows, "train_groups": len(examples.groups), "rows_too_long": examples.too_long,
        "total_steps": total_steps, "dtype": str(dtype).removeprefix("torch."), "device": str(device),
        "bf16_unit": hardware.bf16_support(), "threads": threads, "compiled": compiled,
    }  # fmt: skip
    print(_describe(task, facts, stream), file=sys.stderr)
    run = Run(
        name=task.name, settings=settings, model=model, objective=task.objective, optimizer=optimizer,
        stream=stream, dev=dev, dev_groups=list(dev_data.groups), checkpoints=checkpoints,
        total_steps=total_steps, device=device, log=lambda values: None, progress=progress,
    )  # fmt: skip
    return run, facts


def _be_deterministic(seed: int) -> None:
    torch.use_deterministic_algorithms(True)
    # It would fill every new tensor with NaN before use: a check for bugs, not needed for equal results.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)


def _packed(task: Task[Model], examples: Examples) -> PackedData:
    if examples.too_long:
        limit = task.settings.batch.row_tokens
        print(f"warning: {examples.too_long} rows are longer than {limit} tokens: left out", file=sys.stderr)
    batch = task.settings.batch
    return PackedData(examples.groups, batch.row_tokens, batch.answers_per_prompt, task.settings.seed)


def _dev_examples(task: Task[Model], train: Examples) -> Examples:
    path = task.settings.data / "dev.jsonl"
    if path.is_file() and path.stat().st_size == 0:
        print(f"warning: {path} is empty: the dev loss is taken on training rows", file=sys.stderr)
        return train
    return task.read(path, task.tokenizer, task.settings.batch.row_tokens)


def _compile(task: Task[Model], batch: Batch) -> bool:
    """Compile the model's forward pass in place; False, with a word why, where the machine cannot."""
    if not hardware.can_compile():
        print(f"{task.name}: no C++ compiler found, the model runs uncompiled (slower)", file=sys.stderr)
        return False
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InductorError

    task.model.compile(dynamic=False)
    try:
        task.model(batch.tokens, batch.positions, batch.visible)
    except (TorchDynamoException, InductorError, CppCompileError) as exc:
        task.model._compiled_call_impl = None
        reason = str(exc).strip().splitlines()[0]
        print(f"{task.name}: compiling failed, the model runs uncompiled (slower): {reason}", file=sys.stderr)
        return False
    return True


def _describe(task: Task[Model], facts: dict[str, Any], stream: BatchStream) -> str:
    batch = task.settings.batch
    return (
        f"{task.name}: {facts['parameters'] / 1e6:.1f} M parameters, {facts['train_rows']:,} rows, "
        f"{facts['total_steps']:,} steps of {stream.rows_per_batch} x {batch.accumulate} x "
        f"{batch.row_tokens} positions, {facts['dtype']} on {facts['threads']} threads "
        f"({facts['bf16_unit'] or 'no bf16 unit'}), "
        f"{'compiled' if facts['compiled'] else 'not compiled'}"
    )
