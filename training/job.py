"""What every training job does around the loop: prepare, resume, run, write the results."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.files import atomic_write, sha256_file
from training import hardware
from training.checkpoint import Checkpoints, Progress
from training.config import JobConfig
from training.examples import ChatTokenizer, Examples, ExamplesError
from training.layout import save_model
from training.loop import Objective, Run, next_token_loss, train
from training.model import Llama
from training.optim import FlatAdamW
from training.packing import Batch, BatchStream, PackedData
from training.tracking import MetricsFile, MlflowLogger, flatten

Reader = Callable[[Path, ChatTokenizer, int], Examples]

_COMPILE_PAYS_FROM = 2.5e12
"""Parameters x positions of a run from which compiling (about 20 s) is won back."""
_MLFLOW_EVERY = 10
"""Steps between two points in MLflow; metrics.jsonl has all."""
_NOT_IDENTITY = {"output", "checkpoint", "mlflow", "threads"}
"""Settings that a resumed run may change."""


@dataclass(slots=True)
class Task:
    """What makes a job this job."""

    name: str
    settings: JobConfig
    tokenizer: ChatTokenizer
    model: Llama
    read: Reader
    """How the rows of a split become groups."""
    objective: Objective = next_token_loss


def finished_result(settings: JobConfig, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The result of an earlier run with the same identity in this folder, if it came to its end."""
    try:
        result = json.loads((settings.output / "result.json").read_text(encoding="utf-8"))
        saved = json.loads((settings.output / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = saved.get("identity") == json.loads(json.dumps(identity, default=str))
    return dict(result) if same and (settings.output / "model" / "model.safetensors").exists() else None


def identity_of(name: str, settings: JobConfig, tokenizer: Path, start: Path | None = None) -> dict[str, Any]:
    """What decides the final weights: settings, and digests of data, tokenizer and start weights."""
    values = settings.model_dump(mode="json", exclude=_NOT_IDENTITY)
    train_file = settings.data / "train.jsonl"
    if not train_file.is_file():
        raise ExamplesError(f"{train_file}: no such file; `python -m training data --config …` prepares a data set")
    digests = {"data_sha256": sha256_file(train_file), "tokenizer_sha256": sha256_file(tokenizer / "tokenizer.json")}
    if start is not None:
        digests["start_sha256"] = sha256_file(start / "model.safetensors")
    return {"job": name, **values, **digests}


def run_task(task: Task, identity: dict[str, Any]) -> dict[str, Any]:
    """Train, or go on from the last checkpoint; write `model/`, `metrics.jsonl`, `result.json`; returns the result."""
    settings, output = task.settings, task.settings.output
    run, facts = prepare(task, Checkpoints(output / "checkpoints", identity, settings.checkpoint.keep))
    atomic_write(output / "config.json", json.dumps({"identity": identity, **facts}, indent=2, default=str) + "\n")
    metrics = MetricsFile(output / "metrics.jsonl", run.progress.step)
    mlflow = MlflowLogger(output, task.name, flatten({**identity, **facts})) if settings.mlflow else None

    def log(values: dict[str, Any]) -> None:
        metrics.write(values)
        if mlflow and (values["step"] % _MLFLOW_EVERY == 0 or "dev_loss" in values):
            mlflow.log(values["step"], {key: value for key, value in values.items() if key != "step"})

    run.log = log
    finished = False
    try:
        train(run)
        result = finish(task, run, facts)
        finished = True
    finally:
        metrics.close()
        if mlflow:
            mlflow.close(finished=finished)
    return result


def prepare(task: Task, checkpoints: Checkpoints) -> tuple[Run, dict[str, Any]]:
    """Data, optimizer, compiled model and the last checkpoint, ready for the loop; and the facts to note."""
    settings, batch = task.settings, task.settings.batch
    dtype, device = hardware.choose_dtype(settings.precision), hardware.choose_device()
    examples = task.read(settings.data / "train.jsonl", task.tokenizer, batch.row_tokens)
    data = PackedData(examples.groups, batch.row_tokens, batch.answers_per_prompt, settings.seed)
    stream = BatchStream(data, batch.rows)
    rows_per_step = stream.rows_per_batch * batch.accumulate
    total_steps = settings.max_steps or max(1, round(settings.epochs * stream.rows_per_epoch / rows_per_step))
    facts = {
        "model": task.model.config.model_dump(), "vocab_size": task.model.embedding.num_embeddings,
        "parameters": task.model.parameter_count(), "train_rows": examples.rows, "rows_too_long": examples.too_long,
        "total_steps": total_steps, "dtype": str(dtype).removeprefix("torch."), "device": str(device),
        "bf16_unit": hardware.bf16_support(), "threads": hardware.set_threads(settings.threads),
    }  # fmt: skip
    if examples.too_long:
        print(f"warning: {examples.too_long} rows longer than {batch.row_tokens} tokens are left out", file=sys.stderr)

    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(settings.seed)
    model = task.model.to(device)
    optimizer = FlatAdamW(model, settings.optimizer, dtype)
    progress = Progress()
    if newest := checkpoints.newest():
        progress, tensors = checkpoints.load(newest)
        optimizer.load_state_tensors(tensors)
        stream.seek(progress.epoch, progress.row)
        print(f"{task.name}: goes on from {newest}", file=sys.stderr)
    run = Run(
        name=task.name, settings=settings, model=model, objective=task.objective, optimizer=optimizer, stream=stream,
        dev=dev_batches(task, stream.rows_per_batch, device), checkpoints=checkpoints, total_steps=total_steps,
        device=device, log=lambda values: None, progress=progress,
    )  # fmt: skip
    work = float(facts["parameters"]) * total_steps * rows_per_step * batch.row_tokens
    pays = settings.compile == "auto" and work > _COMPILE_PAYS_FROM and hardware.can_compile()
    facts["compiled"] = settings.compile == "always" or pays
    if facts["compiled"]:
        model.compile(dynamic=False)
    print(describe(task, facts, stream), file=sys.stderr)
    return run, facts


def dev_batches(task: Task, height: int, device: torch.device) -> list[Batch]:
    """The dev batches that every evaluation uses, all of one shape; train rows where the dev split is empty."""
    settings = task.settings
    examples = task.read(settings.data / "dev.jsonl", task.tokenizer, settings.batch.row_tokens)
    data = PackedData(examples.groups, settings.batch.row_tokens, settings.batch.answers_per_prompt, settings.seed)
    rows = data.epoch(0)
    starts = range(0, min(len(rows), settings.evaluation.max_batches * height), height)
    return [data.batch(rows[start : start + height], height).to(device) for start in starts]


def describe(task: Task, facts: dict[str, Any], stream: BatchStream) -> str:
    """What is about to happen, in one paragraph."""
    batch = task.settings.batch
    compiled = "compiled (the first step takes a while)" if facts["compiled"] else "not compiled"
    return (
        f"{task.name}: {facts['parameters'] / 1e6:.1f} M parameters, {facts['train_rows']:,} rows, "
        f"{facts['total_steps']:,} steps of {stream.rows_per_batch} x {batch.accumulate} x {batch.row_tokens} positions, "
        f"{facts['dtype']} on {facts['threads']} threads ({facts['bf16_unit'] or 'no bf16 unit'}), {compiled}"
    )


def finish(task: Task, run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    """Save the model and result.json."""
    output, progress = task.settings.output, run.progress
    tokenizer = task.tokenizer
    # The master weights, in float32: the views in the model may be bf16.
    weights = run.optimizer.master_weights(run.model)
    save_model(output / "model", weights, run.model.config, tokenizer.folder, tokenizer.special)
    result = {
        "job": task.name, "steps": progress.step, "tokens": progress.tokens, "target_tokens": progress.target_tokens,
        "padding_share": 1 - progress.tokens / progress.positions, "wall_seconds": progress.seconds,
        "tokens_per_second": progress.tokens / progress.seconds, "dev_loss": progress.last_dev_loss,
        "best_dev_loss": progress.best_dev_loss, "peak_rss_bytes": hardware.peak_rss_bytes(),
        "model_weights": "float32", "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **facts,
    }  # fmt: skip
    atomic_write(output / "result.json", json.dumps(result, indent=2) + "\n")
    return result


def clear(output: Path) -> None:
    """Forget an earlier run in `output` (`--fresh`)."""
    for name in ("checkpoints", "model"):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in ("metrics.jsonl", "result.json", "config.json", "mlflow-run.txt"):
        (output / name).unlink(missing_ok=True)


def summary(result: dict[str, Any], output: Path) -> str:
    """The result for people."""
    return (
        f"{result['job']}: {result['tokens']:,} tokens in {result['wall_seconds']:.0f} s "
        f"({result['tokens_per_second']:,.0f} tokens/s), padding {result['padding_share']:.1%}, "
        f"dev loss {result['dev_loss']:.4f} (best {result['best_dev_loss']:.4f}), "
        f"peak memory {result['peak_rss_bytes'] / 2**30:.2f} GiB, model in {output / 'model'}"
    )
