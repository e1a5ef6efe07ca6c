"""`python -m training {data,tokenizer,pretrain,sft} …`; `--help` on each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import cli
from training.adapters.cli import adapt, adapter
from training.alignment.cli import align
from training.corpus.cli import app as corpus
from training.curriculum.cli import compare, train_all
from training.data.cli import data
from training.distillation.cli import distil
from training.distributed.cli import dist
from training.headline.cli import headline
from training.labs.cli import lab
from training.measure_cli import outcome
from training.options import Data, Fresh, Output, Overrides, Start, with_paths
from training.prompting.cli import prompts
from training.serving.cli import serving
from training.tokenizer import tokenizer
from training.transfer.cli import transfer

app = typer.Typer(
    help="Data, tokenizer, pretraining, fine-tuning.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.command()(data)
app.command()(tokenizer)
app.add_typer(corpus, name="corpus")
app.add_typer(align, name="align")
app.command()(adapt)
app.add_typer(adapter, name="adapter")
app.command()(distil)
app.command()(outcome)
app.command()(transfer)
app.command()(serving)
app.command()(compare)
app.command("all")(train_all)
app.add_typer(lab, name="lab")
app.add_typer(dist, name="dist")
app.add_typer(headline, name="headline")
app.add_typer(prompts, name="prompts")

CONFIGS = Path(__file__).parent / "configs"


@app.command()
def pretrain(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIGS / "pretrain.yaml",
    overrides: Overrides = None,
    data: Data = None,
    output: Output = None,
    fresh: Fresh = False,
) -> None:
    """Train a new model on every token of a data set; the same command goes on after an interruption."""
    from training.config import PretrainConfig
    from training.job import clear
    from training.pretrain import pretrain as run

    settings = PretrainConfig.from_yaml(config, with_paths(overrides, data=data, output=output))
    if fresh:
        clear(settings.output)
    run(settings)


@app.command()
def sft(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIGS / "sft.yaml",
    start: Start = None,
    overrides: Overrides = None,
    data: Data = None,
    output: Output = None,
    fresh: Fresh = False,
) -> None:
    """Teach a pretrained model to answer (loss on the answers only); goes on after an interruption."""
    from training.config import SftConfig
    from training.job import clear
    from training.sft import sft as run

    settings = SftConfig.from_yaml(config, with_paths(overrides, data=data, output=output, **{"from": start}))
    if fresh:
        clear(settings.output)
    run(settings)


def main() -> None:
    """The command line."""
    cli.run(app)


if __name__ == "__main__":
    main()
