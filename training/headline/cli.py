"""`python -m training headline augment|answer|select|teach|best`."""

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
    keep_errors: Annotated[bool, typer.Option(help="correct no text and no input")] = False,
    hard: Annotated[bool, typer.Option(help="the dev set: longest training inputs of each kind")] = False,
    mirror: Annotated[bool, typer.Option(help="the dev set: dev inputs of a kind never that long")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Clean training texts and inputs, and add versions that tell of other names and kinds of place."""
    from training.headline import augment as room

    if hard and mirror:
        raise typer.BadParameter("--hard and --mirror are two dev sets; give one of them")
    held_out: room.HeldOut | None = "hard" if hard else "mirror" if mirror else None
    print(room.augment(data, output, copies, seed, keep_errors=keep_errors, held_out=held_out))


Model = Annotated[Path, typer.Option(help="model folder (Hugging Face layout)")]
Beams = Annotated[int, typer.Option(min=1, help="width of the beam; 1 is greedy")]
LengthPenalty = Annotated[float, typer.Option(help="below 1 favours short answers")]


@headline.command()
def answer(
    model: Model,
    inputs: Annotated[Path, typer.Option(help="CSV (column mr), JSONL, or one attribute list a line")],
    output: Annotated[Path, typer.Option(help="one answer a line, in the order of the inputs")],
    beams: Beams = 5,
    length_penalty: LengthPenalty = 1.0,
) -> None:
    """Answer by beam search; where the best fails the slot check, the next one that passes is taken."""
    from common.files import atomic_write
    from evaluation.prompts import load_prompts
    from training.headline import answer as room
    from training.headline.beam import BeamSearch

    prompts = [str(conversation[-1]["content"]) for conversation in load_prompts(inputs)]
    made = room.answer(model, prompts, BeamSearch(beams, length_penalty))
    atomic_write(output, "".join(f"{' '.join(text.split())}\n" for text in made.texts))
    percent = 100 / max(made.slots, 1)
    print(
        f"{output}: {len(prompts)} answers; slot errors {made.errors} of {made.slots} slots "
        f"({made.errors * percent:.2f} %), before the choice {made.errors_first} "
        f"({made.errors_first * percent:.2f} %)"
    )


Models = Annotated[list[Path], typer.Option(help="model folder (Hugging Face layout); may be given again")]


@headline.command()
def select(
    data: Data,
    model: Models,
    output: Annotated[Path, typer.Option(help="folder that gets model/ and selection.json")],
    inputs: Annotated[int, typer.Option(min=1, help="invented inputs to try them on")] = 600,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Of several models the one with the fewest slot errors where the training set has no example."""
    from training.headline import select as room

    print(room.select(data, model, output, inputs, seed))


@headline.command()
def teach(
    data: Data,
    model: Models,
    output: Annotated[Path, typer.Option(help="folder of the new data set")],
    count: Annotated[int, typer.Option(min=1, help="training inputs to answer")] = 3000,
    beams: Beams = 5,
    length_penalty: LengthPenalty = 1.0,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """A training set of the best beam answers of one or more models, from which greedy answers learn."""
    from training.headline import teach as room
    from training.headline.beam import BeamSearch

    print(room.teach(data, model, output, count, seed, BeamSearch(beams, length_penalty)))


@headline.command()
def best(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIG,
    overrides: Overrides = None,
) -> None:
    """The whole job, data to signed bundle to answers; what is done is not done again (`make e2e-best`)."""
    from rich.console import Console

    from training.headline.best import BestConfig, run_best

    run_best(BestConfig.from_yaml(config, overrides), Console())
