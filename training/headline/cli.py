"""`python -m training headline augment|answer|best`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.options import Overrides

headline = typer.Typer(
    help="The headline model: from nothing to unseen combinations of attributes.", no_args_is_help=True
)
CONFIG = Path(__file__).parents[1] / "configs" / "e2e-best.yaml"
Data = Annotated[Path, typer.Option(help="folder of a prepared data set, for example data/e2e")]


@headline.command()
def augment(
    data: Data,
    output: Annotated[Path, typer.Option(help="folder of the new data set")],
    copies: Annotated[int, typer.Option(min=0, help="versions of each input with other values")] = 1,
    keep_errors: Annotated[bool, typer.Option(help="keep texts that the slot check finds wrong")] = False,
    hard: Annotated[bool, typer.Option(help="hold out the hard dev split from the training inputs")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Clean the training texts and add versions of them that tell of other names, kinds and cuisines."""
    from training.headline import augment as room

    print(room.augment(data, output, copies, seed, keep_errors=keep_errors, hard=hard))


@headline.command()
def answer(
    model: Annotated[Path, typer.Option(help="model folder (Hugging Face layout, a Llama)")],
    inputs: Annotated[Path, typer.Option(help="CSV (column mr), JSONL, or one attribute list a line")],
    output: Annotated[Path, typer.Option(help="one answer a line, in the order of the inputs")],
    samples: Annotated[int, typer.Option(min=0, help="drawn where greedy has slot errors; 0: never")] = 16,
    temperature: Annotated[float, typer.Option(min=0.01)] = 0.7,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    max_tokens: Annotated[int, typer.Option(min=1)] = 128,
    greedy_output: Annotated[Path | None, typer.Option(help="write the greedy answers here too")] = None,
) -> None:
    """Answer with the model; answers that fail the slot check are drawn again."""
    from common.files import atomic_write
    from evaluation.prompts import load_prompts
    from training.headline.answer import Reranking, answer_file

    prompts = [str(conversation[-1]["content"]) for conversation in load_prompts(inputs)]
    made = answer_file(model, prompts, Reranking(samples, temperature, seed, max_tokens))
    atomic_write(output, "".join(f"{text}\n" for text in made.texts))
    if greedy_output:
        atomic_write(greedy_output, "".join(f"{text}\n" for text in made.greedy))
    percent = 100 / max(made.slots, 1)
    print(
        f"{output}: {len(prompts)} answers; slot errors {made.errors} of {made.slots} slots "
        f"({made.errors * percent:.2f} %), greedy alone {made.errors_greedy} "
        f"({made.errors_greedy * percent:.2f} %)"
    )


@headline.command()
def best(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIG,
    overrides: Overrides = None,
) -> None:
    """The whole job, data to signed bundle to answers; what is done is not done again (`make e2e-best`)."""
    from rich.console import Console

    from training.headline.best import BestConfig, run_best

    run_best(BestConfig.from_yaml(config, overrides), Console())
