"""Command-line options that the training jobs share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value over the file, for example optimizer.lr=1e-3")
]
Data = Annotated[Path | None, typer.Option(help="folder of a prepared data set, for example data/demo")]
Output = Annotated[Path | None, typer.Option(help="run folder, for example runs/pretrain")]
Start = Annotated[Path | None, typer.Option("--from", help="run or model folder to start from")]
Fresh = Annotated[
    bool, typer.Option(help="forget an earlier run in the output folder instead of going on with it")
]


def with_paths(overrides: list[str] | None, **values: Path | str | None) -> list[str]:
    """The overrides, with the given options among them; JSON quoting keeps any file name one YAML string."""
    given = [f"{key}={json.dumps(str(value))}" for key, value in values.items() if value is not None]
    return [*(overrides or []), *given]
