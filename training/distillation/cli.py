"""`python -m training distil`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Data, Fresh, Output, Overrides, with_paths

CONFIG = Path(__file__).parents[1] / "configs" / "distil.yaml"


def distil(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIG,
    teacher: Annotated[Path | None, typer.Option(help="run or model folder of the teacher")] = None,
    student: Annotated[
        str | None, typer.Option(help="size (pico, nano, small, base), or run or model folder to start from")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="logits, sequence, or none (the student without teacher)")
    ] = None,
    overrides: Overrides = None,
    data: Data = None,
    output: Output = None,
    fresh: Fresh = False,
) -> None:
    """Teach a small student with a larger teacher; goes on after an interruption."""
    from training.distillation.job import distil as run
    from training.distillation.settings import DistilConfig
    from training.job import clear

    options = with_paths(overrides, data=data, output=output, teacher=teacher, student=student, mode=mode)
    settings = DistilConfig.from_yaml(config, options)
    if fresh:
        clear(settings.output)
    run(settings)
