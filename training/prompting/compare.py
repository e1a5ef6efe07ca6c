"""`python -m training prompts compare`: written and learnt prompts at equal budget, one table.

Every arm is a command of its own (`python -m evaluation prompt-search`, `python -m training prompts tune`),
run once and kept; an interrupted comparison goes on.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console

from common.files import atomic_write
from common.jobs import only_one
from common.stages import Stage, python_command, run_stages
from evaluation.prompting.examples import Pools, read_pools
from evaluation.prompting.job import HELD_OUT, PROMPT, REPORT
from evaluation.prompting.report import Arm, SearchReport
from evaluation.prompting.task import PromptTask
from training.layout import model_folder
from training.measure import write_answers
from training.outcome import NAME as OUTCOME
from training.outcome import Outcome
from training.prompting.settings import PromptsConfig
from training.prompting.soft import SoftMethod, figure_of, settings_of, steps_of
from training.prompting.table import Row, make_rows, read_answers, read_search, verdicts

SEARCH = "search"
OUTCOMES = {"best": ("prompt-search", "Prompt search"), "few-shot": ("few-shot", "Few-shot")}
"""Arm of the search → technique and label in the comparison of the whole curriculum; no prompt at all is the
row of the model itself."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that the page shows."""

    task: PromptTask
    start: str
    search: SearchReport
    rows: list[Row]
    verdicts: list[tuple[str, str]]
    n: int
    """Held-out inputs."""
    labelled: int
    """Inputs with references that every prompt was found from."""
    command: str


def compare(config: PromptsConfig, console: Console, command: str = "", *, fresh: bool = False) -> Path:
    """Run what is not done yet (`fresh`: everything) and write the page; returns its path.

    Raises the TriviumErrors of the arms, and BusyError where the same comparison runs already.
    """
    from training.prompting.page import write_page

    task, model = config.read_task(), model_folder(config.start)
    pools = read_pools(task)
    for method in config.methods:  # a budget that is too small is found out before the search
        steps_of(task, settings_of(task, method, config.start, _folder(config, method), config.training))
    with only_one(config.output / "lock"):
        if fresh:
            _forget(config.output)
        run_stages(_stages(config, model), config.output / "state.json", console)
    made = _read(config, task, pools, command)
    _write_outcomes(config, task, pools, made, model)
    return write_page(made, config.output)


def _forget(output: Path) -> None:
    """Forget an earlier comparison in `output`, answers and soft prompts included."""
    (output / "state.json").unlink(missing_ok=True)
    for name in (SEARCH, *(f"soft-{method}" for method in get_args(SoftMethod))):
        shutil.rmtree(output / name, ignore_errors=True)


def _stages(config: PromptsConfig, model: Path) -> list[Stage]:
    """One stage an arm. Each runs every time: by digests of model and rows it knows what is done already."""
    task, inputs = config.task_overrides, (config.task,)
    search = config.output / SEARCH
    command = python_command(
        "evaluation prompt-search", task=config.task, model_dir=model, output=search,
        batch_size=config.batch_size, set=task,
    )  # fmt: skip
    stages = [Stage("search", "prompt search", command, (search / REPORT,), inputs, always=True, after=())]
    for method in config.methods:
        output = _folder(config, method)
        training = [*config.training, f"mlflow={str(config.mlflow).lower()}"]
        command = python_command(
            "training prompts tune", task=config.task, method=method, output=output, set=task, train=training,
            **{"from": config.start},
        )  # fmt: skip
        stages.append(Stage(
            method, f"soft prompt, {method}", command, (output / OUTCOME,), inputs, always=True,
            afresh=("--fresh",), after=(),
        ))  # fmt: skip
    return stages


def _folder(config: PromptsConfig, method: SoftMethod) -> Path:
    return config.output / f"soft-{method}"


def _read(config: PromptsConfig, task: PromptTask, pools: Pools, command: str) -> Comparison:
    search = config.output / SEARCH
    rows = make_rows(task, pools, search, [_folder(config, method) for method in config.methods])
    return Comparison(
        task, str(config.start), read_search(search), rows, verdicts(rows, task.deciding), len(pools.report),
        len(pools.labelled), command,
    )  # fmt: skip


def _write_outcomes(
    config: PromptsConfig, task: PromptTask, pools: Pools, made: Comparison, model: Path
) -> None:
    """The written prompts in the schema of outcomes; the best one's stands in the output folder itself."""
    weights = _parameters(model)
    for arm in made.search.arms:
        if arm.key in OUTCOMES:
            folder = config.output if arm.key == "best" else config.output / arm.key
            answers = read_answers(config.output / SEARCH / HELD_OUT / f"{arm.key}.jsonl", pools)
            write_answers(folder, [example.key for example in pools.report], answers)
            _outcome(config, task, made, arm, weights).write(folder)


def _outcome(config: PromptsConfig, task: PromptTask, made: Comparison, arm: Arm, weights: int) -> Outcome:
    technique, label = OUTCOMES[arm.key]
    found = arm.key == "best"
    return Outcome(
        technique=technique, label=label, family="prompting", seed=task.seed, data=str(task.data),
        start=str(config.start), model=str(model_folder(config.start)), total_parameters=weights,
        trainable_parameters=0, train_seconds=made.search.seconds if found else 0.0,
        peak_rss_bytes=made.search.peak_rss_bytes if found else 0,
        artifact_bytes=(
            (config.output / SEARCH / PROMPT).stat().st_size if found else len(arm.example.encode())
        ),
        figures=[figure_of(metric) for metric in arm.metrics],
        details={
            "prompt": arm.candidate.words(), "prompt_tokens": arm.prompt_tokens, "task": task.name,
            "budget": float(task.budget), "spent": float(made.search.spent if found else 0),
        },
        command=made.command or shlex.join(["python", "-m", "training", "prompts", "compare"]),
    )  # fmt: skip


def _parameters(model: Path) -> int:
    """Weights of the model file; tied ones are in it once."""
    from safetensors import safe_open

    with safe_open(model / "model.safetensors", framework="numpy") as weights:
        shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118
    return sum(_product(shape) for shape in shapes)


def _product(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def to_json(made: Comparison) -> str:
    """The JSON document of a comparison."""
    document = {
        "schema": "trivium.prompts/v1", "task": made.task.model_dump(mode="json"), "from": made.start,
        "held_out_inputs": made.n, "labelled_inputs": made.labelled, "budget": made.task.budget,
        "unit": "forward tokens; a trained token counts three", "verdicts": made.verdicts,
        "rows": [row.model_dump() for row in made.rows], "notes": made.search.notes, "command": made.command,
    }  # fmt: skip
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_json(made: Comparison, output: Path) -> None:
    """Write `comparison.json`. Raises FileError."""
    atomic_write(output / "comparison.json", to_json(made))
