"""`python -m training dist {ddp,fsdp,pipeline,async,compare} …`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from training.distributed.config import Strategy
from training.options import Data, Fresh, Output, Overrides, Start, with_paths

CONFIGS = Path(__file__).parents[1] / "configs"
Config = Annotated[Path, typer.Option(help="YAML file")]
Workers = Annotated[int | None, typer.Option(help="processes that train together", min=1)]
STRATEGIES: dict[Strategy, str] = {
    "ddp": "Data parallel: each worker has the whole model and a part of the rows.",
    "fsdp": "Fully sharded: each worker has a part of every weight, gradient and moment, and of the rows.",
    "pipeline": "Pipeline: each worker has some layers, micro-batches flow through them.",
    "async": "Asynchronous: workers push gradients to a parameter server whenever they are ready.",
}

dist = typer.Typer(
    help="Training on several workers with Ray: on this machine, or on the cluster of RAY_ADDRESS.",
    no_args_is_help=True,
)


def _command(strategy: Strategy) -> Callable[..., None]:
    def command(
        config: Config = CONFIGS / "distributed.yaml",
        overrides: Overrides = None,
        data: Data = None,
        output: Output = None,
        start: Start = None,
        workers: Workers = None,
        fresh: Fresh = False,
    ) -> None:
        from training.distributed.config import DistributedConfig
        from training.distributed.record import clear, summary_line
        from training.distributed.train import train

        given = with_paths(overrides, data=data, output=output, **{"from": start})
        if workers is not None:
            given.append(f"workers={workers}")
        settings = DistributedConfig.from_yaml(config, given)
        if fresh:
            clear(settings.output)
        print(summary_line(train(strategy, settings), settings.output))

    return command


for _strategy, _help in STRATEGIES.items():
    dist.command(_strategy, help=_help)(_command(_strategy))


@dist.command()
def compare(
    config: Config = CONFIGS / "distributed-compare.yaml",
    overrides: Overrides = None,
    data: Data = None,
    output: Annotated[Path | None, typer.Option(help="folder for runs, result.json, page")] = None,
    only: Annotated[list[str] | None, typer.Option(help="name of a run; repeat for more [all]")] = None,
) -> None:
    """Run a small suite of them all on the same batches and write a page; goes on after an interruption."""
    from training.distributed.compare import CompareConfig, compare_all

    settings = CompareConfig.from_yaml(config, with_paths(overrides, **{"base.data": data}, output=output))
    for path in compare_all(settings.only(only) if only else settings):
        print(f"written: {path}")
