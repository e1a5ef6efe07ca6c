"""`python -m training prompts tune`: a soft prompt learnt from the rows of a task file, within its budget."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from common.errors import ConfigError
from common.files import atomic_folder
from evaluation.prompting.examples import Example, Pools, read_pools
from evaluation.prompting.scores import results
from evaluation.prompting.task import TRAINING_COST, PromptTask
from evaluation.report import MetricResult
from training.adapters.job import adapt, answer_by_transformers, label_of
from training.adapters.settings import AdaptConfig, PrefixMethod, config_of
from training.layout import model_folder
from training.measure import describe, write_answers
from training.outcome import NAME as OUTCOME
from training.outcome import Figure, Outcome, OutcomeError
from training.provenance import command_line

SoftMethod = Literal["prompt", "prefix", "ptuning"]


def tune(task: PromptTask, settings: AdaptConfig) -> Outcome:
    """Train within the budget, answer the held-out inputs, write the outcome; what is done is not done again.

    `settings` come from `settings_of`. Raises ConfigError where the budget does not allow one step.
    """
    pools = read_pools(task)
    # Metrics that these inputs do not allow are found out now, not after the training.
    results([e.references[0] for e in pools.report], pools.report, task.metrics, 0, task.seed)
    settings = settings.model_copy(update={"max_steps": steps_of(task, settings)})
    write_rows(task, pools, settings.data)
    result = adapt(settings)
    digest = hashlib.sha256(task.model_dump_json().encode()).hexdigest()
    made = _finished(settings.output, digest)
    if made is None:
        made = _measure(task, settings, pools, result, digest)
    print(describe(made))
    return made


def method_of(name: str) -> SoftMethod:
    """A soft method by its name. Raises ConfigError naming those there are."""
    for method in get_args(SoftMethod):
        if name == method:
            return cast(SoftMethod, method)
    raise ConfigError(f"--method {name}: no soft prompt; known methods: {', '.join(get_args(SoftMethod))}")


def settings_of(
    task: PromptTask, method: SoftMethod, start: Path, output: Path, overrides: Sequence[str] = ()
) -> AdaptConfig:
    """The settings of `training/configs/adapt-<method>.yaml` for this task; `overrides` go over them."""
    paths = {"data": output / "data", "output": output, "from": start}
    fixed = [f"{key}={json.dumps(str(path))}" for key, path in paths.items()]
    # Nothing is chosen by the dev loss: one look at the end is enough.
    quiet = ["evaluation.max_batches=1", "evaluation.samples=0", "quality_inputs=1", "compile=never"]
    return AdaptConfig.from_yaml(config_of(method), [*quiet, f"seed={task.seed}", *overrides, *fixed])


def steps_of(task: PromptTask, settings: AdaptConfig) -> int:
    """Steps whose positions, padding included, fit into the budget. Raises ConfigError where none does."""
    batch = settings.batch
    step = TRAINING_COST * batch.rows * batch.accumulate * (batch.row_tokens + _passed(settings))
    if step > task.budget:
        raise ConfigError(
            f"budget: {task.budget:,} forward tokens do not allow one training step, which costs up to "
            f"{step:,} ({TRAINING_COST} x {batch.rows * batch.accumulate} rows of {batch.row_tokens} tokens "
            "and the virtual ones): raise budget or lower batch.rows"
        )
    return min(task.budget // step, settings.max_steps or task.budget)


def spent(settings: AdaptConfig, result: dict[str, Any]) -> int:
    """Forward tokens of a training run: its positions without padding and the virtual tokens of its rows."""
    rows = int(result["steps"]) * settings.batch.rows * settings.batch.accumulate
    return TRAINING_COST * (int(result["tokens"]) + rows * _passed(settings))


def write_rows(task: PromptTask, pools: Pools, folder: Path) -> None:
    """The task's rows in the form that a training job reads; the held-out ones are its dev split."""
    held = [
        {"id": f"{task.name}-held-{i}", "input": e.content, "references": list(e.references)}
        for i, e in enumerate(pools.report)
    ]
    with atomic_folder(folder) as part:
        for split, examples in (("train", pools.labelled), ("dev", pools.report)):
            _write_lines(part / f"{split}.jsonl", _rows(task, split, examples))
        _write_lines(part / "references-dev.jsonl", held)


def _rows(task: PromptTask, split: str, examples: Sequence[Example]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{task.name}-{split}-{number}-{turn}", "task": task.rows, "split": split,
            "messages": [
                {"role": "user", "content": example.content}, {"role": "assistant", "content": reference},
            ],
            "source": str(task.data),
        }
        for number, example in enumerate(examples)
        for turn, reference in enumerate(example.references)
    ]  # fmt: skip


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def _passed(settings: AdaptConfig) -> int:
    """Virtual tokens of a row that go through the model; a prefix is a cache and goes through nothing."""
    method = settings.adapter
    return 0 if isinstance(method, PrefixMethod) else int(getattr(method, "virtual_tokens", 0))


def _finished(output: Path, digest: str) -> Outcome | None:
    try:
        found = Outcome.read(output)
    except OutcomeError:
        return None
    return found if found.details.get("task_sha256") == digest else None


def _measure(
    task: PromptTask, settings: AdaptConfig, pools: Pools, result: dict[str, Any], digest: str
) -> Outcome:
    output, adapter = settings.output, settings.output / "adapter"
    answers = answer_by_transformers(
        model_folder(settings.start), adapter, [e.content for e in pools.report], task.max_tokens
    )
    write_answers(output, [e.key for e in pools.report], answers)
    found = results(answers, pools.report, task.metrics, task.resamples, task.seed)
    outcome = Outcome(
        technique=f"soft-{settings.adapter.method}", label=f"{label_of(settings.adapter)}, task budget",
        family="prompting", seed=task.seed, data=str(task.data), start=str(settings.start), model=None,
        adapter=str(adapter), total_parameters=result["parameters"],
        trainable_parameters=result["trainable_parameters"], train_seconds=result["wall_seconds"],
        peak_rss_bytes=result["peak_rss_bytes"], tokens=result["tokens"],
        artifact_bytes=sum(path.stat().st_size for path in adapter.iterdir()),
        figures=[figure_of(metric) for metric in found],
        details={
            "budget": float(task.budget), "spent": float(spent(settings, result)),
            "virtual_tokens": float(getattr(settings.adapter, "virtual_tokens", 0)), "task": task.name,
            "task_sha256": digest,
        },
        command=command_line(),
    )  # fmt: skip
    (output / OUTCOME).unlink(missing_ok=True)  # of `adapt`, whose dev set is a copy of these inputs
    outcome.write(output)
    return outcome


def figure_of(metric: MetricResult) -> Figure:
    """A figure of the evaluation room in the schema of outcomes."""
    return Figure(
        metric=metric.metric, value=metric.value, n=metric.n, ci_low=metric.ci_low, ci_high=metric.ci_high,
        unit=metric.unit, higher_is_better=metric.higher_is_better,
    )  # fmt: skip
