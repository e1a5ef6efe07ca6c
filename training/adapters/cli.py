"""`python -m training adapt` and `python -m training adapter {add,merge}`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Data, Fresh, Output, Overrides, Start, with_paths

adapter = typer.Typer(help="Put an adapter into a bundle, or into the weights.", no_args_is_help=True)


def adapt(
    method: Annotated[
        str | None, typer.Option(help="lora, dora, prefix, prompt, ptuning or ia3; decides the settings file")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file [training/configs/adapt-<method>.yaml]")
    ] = None,
    start: Start = None,
    overrides: Overrides = None,
    data: Data = None,
    output: Output = None,
    fresh: Fresh = False,
) -> None:
    """Fine-tune a frozen model through an adapter (PEFT); goes on after an interruption."""
    from training.adapters.job import adapt as run
    from training.adapters.settings import AdaptConfig, config_of
    from training.job import clear

    known = config_of(method or "lora")
    paths = with_paths(overrides, data=data, output=output, **{"from": start, "adapter.method": method})
    settings = AdaptConfig.from_yaml(config or known, paths)
    if fresh:
        clear(settings.output)
    run(settings)
