"""What every training job does around the loop: recognise a finished run, log, write the results."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from common.files import atomic_write, sha256_file
from training import hardware
from training.checkpoint import Checkpoints
from training.config import JobConfig
from training.examples import ExamplesError
from training.kinds import OwnLlama
from training.loop import Model, Run, train
from training.outcome import NAME as OUTCOME
from training.packing import Group
from training.prepare import Task, prepare
from training.provenance import command_line, git_commit
from training.tracking import MetricsFile, MlflowLogger, flatten

_MLFLOW_EVERY = 10
"""Steps between two points in MLflow; metrics.jsonl has all."""
_SAMPLE_TOKENS = 128
_OPENING_TOKENS = 16
"""Of a plain text, from which a model in pretraining goes on."""
_NOT_IDENTITY = {"output", "checkpoint", "mlflow", "threads", "activation_checkpointing", "quality_inputs"}
"""Settings that a resumed run may change."""
_RUN_FILES = ("metrics.jsonl", "samples.jsonl", "result.json", "config.json", "mlflow-run.txt", OUTCOME)


def identity_of(name: str, settings: JobConfig, tokenizer: Path, start: Path | None = None) -> dict[str, Any]:
    """What decides the final weights: settings, and digests of data, tokenizer and start weights."""
    values = settings.model_dump(mode="json", exclude=_NOT_IDENTITY)
    rows = settings.data / "train.jsonl"
    if not rows.is_file():
        raise ExamplesError(f"{rows}: no such file; `python -m training data --config …` prepares a data set")
    digests = {
        "data_sha256": sha256_file(rows),
        "tokenizer_sha256": sha256_file(tokenizer / "tokenizer.json"),
        "start_sha256": sha256_file(start / "model.safetensors") if start else None,
    }
    return {"job": name, **values, **digests}


def finished_result(
    settings: JobConfig, identity: dict[str, Any], artifact: str = OwnLlama.artifact
) -> dict[str, Any] | None:
    """The result of an earlier run of the same identity in this folder, if it came to its end."""
    try:
        result = json.loads((settings.output / "result.json").read_text(encoding="utf-8"))
        saved = json.loads((settings.output / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = saved.get("identity") == json.loads(json.dumps(identity))
    return dict(result) if same and (settings.output / artifact).exists() else None


def run_task(task: Task[Model], identity: dict[str, Any]) -> dict[str, Any]:
    """Train or go on from the last checkpoint; write model, metrics and result; returns the result."""
    settings, output = task.settings, task.settings.output
    checkpoints = Checkpoints(output / "checkpoints", identity, settings.checkpoint.keep)
    started = time.perf_counter()
    run, facts = prepare(task, checkpoints)
    facts |= {"git_commit": git_commit(), "command": command_line()}
    facts["setup_seconds"] = time.perf_counter() - started  # reading, tokenizing, packing, compiling
    (output / "result.json").unlink(missing_ok=True)  # of an earlier run with other settings
    atomic_write(output / "config.json", json.dumps({"identity": identity, "facts": facts}, indent=2) + "\n")
    metrics = MetricsFile(output / "metrics.jsonl", run.progress.step)
    samples = MetricsFile(output / "samples.jsonl", run.progress.step)
    mlflow = MlflowLogger(output, task.name, flatten({**identity, **facts})) if settings.mlflow else None

    def log(values: dict[str, Any]) -> None:
        metrics.write(values)
        if mlflow and (values["step"] % _MLFLOW_EVERY == 0 or "dev_loss" in values):
            mlflow.log(values["step"], {key: value for key, value in values.items() if key != "step"})
        if "dev_loss" in values:
            for sample in greedy_samples(task, run, settings.evaluation.samples):
                samples.write({"step": values["step"], **sample})

    run.log = log
    finished = False
    try:
        train(run)
        result = write_result(task, run, facts)
        finished = True
    finally:
        metrics.close()
        samples.close()
        if mlflow:
            mlflow.close(finished=finished)
    return result


def greedy_samples(task: Task[Model], run: Run[Model], count: int) -> list[dict[str, str]]:
    """Greedy answers to the first dev prompts; of plain text, how the model goes on from its openings."""
    first_of: dict[str, Group] = {}  # a long text is several groups; its first is enough
    for number, group in enumerate(run.dev_groups):
        first_of.setdefault(group.ids[0] or str(number), group)
    asked = [_asked(group) for group in list(first_of.values())[:count]]
    if not asked:
        return []
    tokenizer, prompts = task.tokenizer, [prompt for prompt, _ in asked]
    answers = task.kind.answer(run.model, prompts, tokenizer.special["eos"], _SAMPLE_TOKENS)
    return [
        {"prompt": tokenizer.decode(p), "answer": tokenizer.decode(a), "reference": tokenizer.decode(r)}
        for (p, r), a in zip(asked, answers, strict=True)
    ]


def _asked(group: Group) -> tuple[list[int], list[int]]:
    """(prompt, reference): a prompt and its first answer; of a plain text its opening, at most half of it,
    and as much of the rest as is answered."""
    first = group.continuations[0].tolist()
    opening = 1 if len(group.context) else min(1 + _OPENING_TOKENS, max(1, len(first) // 2))
    return [*group.context.tolist(), *first[:opening]], first[opening:][:_SAMPLE_TOKENS]


def write_result(task: Task[Model], run: Run[Model], facts: dict[str, Any]) -> dict[str, Any]:
    """Save the trained weights (float32) and result.json."""
    output, progress = task.settings.output, run.progress
    task.kind.save(run, output, task.tokenizer)
    result = {
        "job": task.name,
        "steps": progress.step,
        "epochs": progress.epoch + progress.row / run.stream.rows_per_epoch,
        "tokens": progress.tokens,
        "target_tokens": progress.target_tokens,
        "padding_share": 1 - progress.tokens / progress.positions,
        "wall_seconds": progress.seconds,
        "tokens_per_second": progress.tokens / progress.seconds,
        "dev_loss": progress.last_dev_loss,
        "best_dev_loss": progress.best_dev_loss,
        "peak_rss_bytes": hardware.peak_rss_bytes(),
        "model_weights": "float32",
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **facts,
    }
    atomic_write(output / "result.json", json.dumps(result, indent=2) + "\n")
    return result


def clear(output: Path) -> None:
    """Forget an earlier run in `output` (`--fresh`)."""
    for name in ("checkpoints", "model", "adapter"):
        shutil.rmtree(output / name, ignore_errors=True)
    for name in _RUN_FILES:
        (output / name).unlink(missing_ok=True)


def summary(result: dict[str, Any], output: Path) -> str:
    """The result for people."""
    return (
        f"{result['job']}: {result['tokens']:,} tokens in {result['wall_seconds']:.0f} s "
        f"({result['tokens_per_second']:,.0f} tokens/s), padding {result['padding_share']:.1%}, "
        f"dev loss {result['dev_loss']:.4f} (best {result['best_dev_loss']:.4f}), "
        f"peak memory {result['peak_rss_bytes'] / 2**30:.2f} GiB, saved in {output}"
    )
