"""`python -m training prompts {tune,compare}`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Data, Fresh, Output, Overrides, Start, with_paths

CONFIGS = Path(__file__).parents[1] / "configs"
TASKS = Path(__file__).parents[2] / "evaluation" / "configs"

prompts = typer.Typer(help="Soft prompts against prompt search, at equal budget.", no_args_is_help=True)


@prompts.command()
def tune(
    start: Annotated[Path, typer.Option("--from", help="run or model folder that the prompt is for")],
    output: Annotated[Path, typer.Option(help="run folder")],
    method: Annotated[str, typer.Option(help="prompt, prefix or ptuning")] = "prompt",
    task: Annotated[Path, typer.Option(help="the task file, shared with `evaluation prompt-search`")] = (
        TASKS / "prompt-describe.yaml"
    ),
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over the task file, for example budget=200000"),
    ] = None,
    training: Annotated[
        list[str] | None,
        typer.Option("--train", help="key=value over adapt-<method>.yaml, for example optimizer.lr=1e-2"),
    ] = None,
    fresh: Fresh = False,
) -> None:
    """Learn a soft prompt for a task file, within its budget; goes on after an interruption."""
    from evaluation.prompting.task import PromptTask
    from training.job import clear
    from training.prompting.soft import method_of, settings_of
    from training.prompting.soft import tune as run

    wanted = PromptTask.from_yaml(task, overrides)
    settings = settings_of(wanted, method_of(method), start, output, training or ())
    if fresh:
        clear(output)
    run(wanted, settings)


@prompts.command()
def compare(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIGS / "prompts.yaml",
    task: Annotated[
        Path | None, typer.Option(help="task file [evaluation/configs/prompt-describe.yaml]")
    ] = None,
    start: Start = None,
    data: Data = None,
    output: Output = None,
    overrides: Overrides = None,
    fresh: Fresh = False,
) -> None:
    """No prompt, a written one, few-shot, the best found and soft prompts at equal budget, in one table."""
    from rich.console import Console

    from training.prompting.compare import compare as run
    from training.prompting.settings import PromptsConfig
    from training.provenance import command_line

    paths = with_paths(overrides, task=task, data=data, output=output, **{"from": start})
    settings = PromptsConfig.from_yaml(config, paths)
    print(f"comparison  {run(settings, Console(), command_line(), fresh=fresh)}")
