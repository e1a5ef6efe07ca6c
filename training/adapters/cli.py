"""`python -m training adapt` and `python -m training adapter {add,merge}`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Data, Fresh, Output, Overrides, Start, with_paths

RunFolder = Annotated[Path, typer.Option("--run", help="run folder of `adapt`, or an adapter folder")]

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


@adapter.command()
def add(
    run: RunFolder,
    bundle: Annotated[Path, typer.Option(help="bundles/<name>/<version> of the base model")],
    name: Annotated[str, typer.Option(help="the model name under which requests ask for it")],
) -> None:
    """Put a LoRA adapter into a bundle, where servers with `engine.lora` find it; then sign it again."""
    from training.adapters.serve import add_to_bundle

    folder = add_to_bundle(run, bundle, name)
    print(f"added {folder}\nthe signature no longer fits: python -m bundle sign {bundle}")


@adapter.command("merge")
def merge_command(
    run: RunFolder,
    output: Annotated[Path, typer.Option(help="model folder to write, Hugging Face layout")],
    base: Annotated[Path | None, typer.Option(help="base model, where it was moved since")] = None,
) -> None:
    """Write an adapter (lora, dora, ia3) into the weights: a plain model for bundle, edge, every server."""
    from training.adapters.serve import merge_run

    merge_run(run, output, base)
    print(f"merged into {output}")
