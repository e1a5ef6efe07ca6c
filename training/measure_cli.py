"""`python -m training outcome`: give a finished run its place in the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def outcome(
    run: Annotated[Path, typer.Option(help="folder of a finished run that wrote model/")],
    technique: Annotated[str, typer.Option(help="short key, unique in the comparison, for example full")],
    label: Annotated[str | None, typer.Option(help="for tables [the key]")] = None,
    family: Annotated[
        str, typer.Option(help="baseline, fine-tuning, adapter, distillation, alignment or prompting")
    ] = "fine-tuning",
    data: Annotated[
        Path | None, typer.Option(help="data set that asks; needed where it is not the one trained on")
    ] = None,
    inputs: Annotated[int | None, typer.Option(min=1, help="first N dev inputs [all]")] = None,
) -> None:
    """Answer the dev inputs with a run's model, score the answers, write outcome.json into the run."""
    from training.measure import describe, measure, technique_of

    print(describe(measure(run, technique_of(technique, label, family), data=data, inputs=inputs)))
