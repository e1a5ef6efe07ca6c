"""What distributed jobs read before they start and write when they end."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

from common.files import atomic_write
from training.checkpoint import Checkpoints
from training.config import resolve_model
from training.distributed.config import DistributedConfig, DistributedError, Strategy
from training.distributed.corpus import Corpus
from training.distributed.state import weights_of
from training.examples import ChatTokenizer
from training.kinds import OwnLlama, require_sizes
from training.layout import load_model, model_folder, save_model
from training.model import Llama
from training.provenance import command_line, git_commit
from training.tokenizer import train_tokenizer

RUN_FILES = ("metrics.jsonl", "workers.jsonl", "result.json", "config.json")


def clear(output: Path) -> None:
    """Forget an earlier run in `output` (`--fresh`)."""
    for name in ("checkpoints", "model"):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in RUN_FILES:
        (output / name).unlink(missing_ok=True)


def with_whole_paths(settings: DistributedConfig) -> DistributedConfig:
    """Workers have another working folder."""
    paths = {name: getattr(settings, name) for name in ("data", "output", "tokenizer", "start")}
    whole = {name: path.resolve() if path else None for name, path in paths.items()}
    return settings.model_copy(update=whole)


def start_of(settings: DistributedConfig) -> tuple[ChatTokenizer, Llama]:
    """The tokenizer and the model that all workers start from."""
    if settings.start is None:
        folder = settings.tokenizer or settings.output / "tokenizer"
        if settings.tokenizer is None and not (folder / "tokenizer.json").exists():
            train_tokenizer(settings.data, folder)
        tokenizer = ChatTokenizer(folder)
        torch.manual_seed(settings.seed)
        model = Llama(resolve_model(settings.model), tokenizer.vocabulary, settings.dropout)
    else:
        folder = model_folder(settings.start)
        tokenizer = ChatTokenizer(settings.tokenizer or folder)
        model = load_model(folder, settings.dropout)
    require_sizes(settings.batch.row_tokens, tokenizer, OwnLlama().sizes(model))
    return tokenizer, model


def finished(settings: DistributedConfig, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The result of an earlier run of the same identity in this folder, if it came to its end."""
    try:
        result = json.loads((settings.output / "result.json").read_text(encoding="utf-8"))
        saved = json.loads((settings.output / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = saved.get("identity") == json.loads(json.dumps(identity, default=str))
    return dict(result) if same and (settings.output / "model" / "model.safetensors").exists() else None


def begin(settings: DistributedConfig, identity: dict[str, Any]) -> int:
    """Write down what is going to run; returns the step that it goes on from.

    Raises CheckpointError where the folder holds the checkpoint of another job.
    """
    step = 0
    checkpoints = Checkpoints(settings.output / "checkpoints", identity, settings.checkpoint.keep)
    if newest := checkpoints.newest():
        step = checkpoints.load(newest)[0].step  # a mistake is found before anything is started
        print(f"goes on from {newest}", file=sys.stderr)
    # Ray Train's list of the last start's checkpoints; those that are there count.
    (settings.output / "checkpoints" / "checkpoint_manager_snapshot.json").unlink(missing_ok=True)
    (settings.output / "result.json").unlink(missing_ok=True)
    (settings.output / "workers.jsonl").unlink(missing_ok=True)
    atomic_write(
        settings.output / "config.json", json.dumps({"identity": identity}, indent=2, default=str) + "\n"
    )
    return step


def note_start(settings: DistributedConfig, step: int, **who: Any) -> None:
    """One line in `workers.jsonl`: which processes begin, and from which step."""
    line = {"from_step": step, **who, "time": time.time()}
    with (settings.output / "workers.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def attempts_of(settings: DistributedConfig, who: str) -> list[int]:
    """The steps that the run began or went on from, as the lines about `who` say."""
    path = settings.output / "workers.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line["from_step"] for line in map(json.loads, lines) if who in line]


def facts_of(
    strategy: Strategy, settings: DistributedConfig, model: Llama, corpus: Corpus, seconds: float
) -> dict[str, Any]:
    """What belongs beside the figures of any distributed run."""
    return {
        "job": strategy, "workers": settings.workers, "threads": settings.threads, "seed": settings.seed,
        "model": model.config.model_dump(), "parameters": model.parameter_count(), "train_rows": corpus.rows,
        "rows_too_long": corpus.too_long, "total_seconds": seconds, "git_commit": git_commit(),
        "command": command_line(),
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip


def describe(
    strategy: Strategy, settings: DistributedConfig, model: Llama, corpus: Corpus, device: str
) -> str:
    """One line before the work begins."""
    batch, cores = settings.batch, len(os.sched_getaffinity(0))
    shared = device == "cpu" and "RAY_ADDRESS" not in os.environ and settings.workers > cores
    return (
        f"{strategy}: {model.parameter_count() / 1e6:.1f} M parameters, {corpus.rows:,} rows, "
        f"{batch.rows} x {batch.accumulate} x {batch.row_tokens} positions a step, {settings.workers} "
        f"workers on {device} ({'NCCL' if device == 'cuda' else 'gloo'}), {settings.threads} threads each"
        + (f"; they share {cores} cores" if shared else "")
    )


def write_result(
    settings: DistributedConfig, tokenizer: ChatTokenizer, identity: dict[str, Any], model: Llama,
    summary: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Save the model of the last checkpoint and result.json; adds the derived figures."""
    checkpoints = Checkpoints(settings.output / "checkpoints", identity, settings.checkpoint.keep)
    newest = checkpoints.newest()
    if newest is None:
        raise DistributedError(f"{settings.output}: the run ended without a checkpoint")
    _, state = checkpoints.load(newest)
    weights = {k: t.detach().float() for k, t in model.state_dict().items()} | weights_of(state)
    save_model(settings.output / "model", weights, model.config, tokenizer.folder, tokenizer.special)
    workers = [worker["peak_rss_bytes"] for worker in summary["per_worker"]]
    result = {
        **summary, "wall_seconds": summary["seconds"],
        # Of all processes that train; a job of one process counts itself alone, too.
        "peak_rss_bytes": sum(workers) + summary.get("server_peak_rss_bytes", 0),
        "tokens_per_second": summary["tokens"] / max(summary["seconds"], 1e-9),
        "rows_per_second": summary["timed_rows"] / max(summary["timed_seconds"], 1e-9),
    }  # fmt: skip
    if summary["job"] == "pipeline":
        result |= bubble_of(settings, summary["per_worker"])
        result["micro_batches"] = settings.pipeline.micro_batches
    atomic_write(settings.output / "result.json", json.dumps(result, indent=2) + "\n")
    return result


def bubble_of(settings: DistributedConfig, workers: list[dict[str, float]]) -> dict[str, float]:
    """Idle share of the stages: 1 - (seconds of computing over all stages) / (stages x seconds of steps)."""
    from training.distributed.pipeline import formula_bubble

    stages, span = len(workers), max(worker["span_seconds"] for worker in workers)
    busy = [worker["busy_seconds"] for worker in workers]
    return {
        "bubble_share": 1 - sum(busy) / (stages * span) if span else 0.0,
        "bubble_formula": formula_bubble(stages, settings.pipeline.micro_batches),
        # What the heaviest stage would leave idle in the others if sending took no time.
        "bubble_imbalanced": 1 - sum(busy) / (stages * max(busy)) * (
            1 - formula_bubble(stages, settings.pipeline.micro_batches)
        ) if max(busy) else 0.0,
    }  # fmt: skip


def summary_line(result: dict[str, Any], output: Path) -> str:
    """The result for people."""
    lost = f", {len(result['attempts']) - 1} restarts" if len(result["attempts"]) > 1 else ""
    return (
        f"{result['job']} with {result['workers']} workers: {result['steps']:,} steps, "
        f"{result['tokens']:,} tokens, {result['rows_per_second']:.1f} rows/s, "
        f"dev loss {result['dev_loss']:.4f}{lost}; model in {output / 'model'}"
    )
