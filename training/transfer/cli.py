"""`python -m training transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Data, Fresh, Output, Overrides, Start, with_paths

CONFIG = Path(__file__).parents[1] / "configs" / "transfer.yaml"


def transfer(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIG,
    start: Start = None,
    overrides: Overrides = None,
    data: Data = None,
    output: Output = None,
    fresh: Fresh = False,
) -> None:
    """Fine-tune from a pretrained model and from nothing at several data sizes; goes on where it stopped."""
    from training.job import clear
    from training.transfer.job import TransferConfig, point_folders
    from training.transfer.job import transfer as run

    settings = TransferConfig.from_yaml(
        config, with_paths(overrides, data=data, output=output, **{"from": start})
    )
    if fresh:
        for folder in point_folders(settings):
            clear(folder)
    run(settings)
