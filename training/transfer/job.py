"""`python -m training transfer`: fine-tune from the pretrained model and from nothing, at several data sizes.

Every point gets the same number of steps, so that a smaller set is seen more often, not trained on less. The
sets are nested: each holds the smaller ones. Started again, the study goes on where it was interrupted.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from common.config import StrictModel
from common.files import atomic_write
from training.config import JobConfig
from training.examples import ChatTokenizer, Examples, read_answers
from training.job import finished_result, identity_of, run_task
from training.layout import load_model, model_folder
from training.measure import Technique, measure
from training.model import Llama
from training.outcome import Figure, Outcome, OutcomeError
from training.prepare import Reader, Task

Start = Literal["pretrained", "random"]
STARTS: tuple[Start, ...] = ("pretrained", "random")


class TransferConfig(JobConfig):
    """`python -m training transfer`."""

    start: Path = Field(alias="from")
    """Run folder or model folder of the pretrained model (`--from`); the random start has its sizes."""
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    """Data sizes, as shares of the distinct training inputs."""
    quality_inputs: int | None = Field(default=None, ge=1)
    """Dev inputs that are answered for each point; null takes all."""

    @model_validator(mode="after")
    def _steps_are_given(self) -> Self:
        if self.max_steps is None:
            raise ValueError("max_steps must be given: every data size gets the same number of steps")
        if len(set(self.shares)) != len(self.shares) or not self.shares:
            raise ValueError("shares must be different and at least one")
        return self


class Point(StrictModel):
    """One training run of the study."""

    start: Start
    share: float
    inputs: int
    """Distinct training inputs."""
    rows: int
    """Training rows; an input has several answers."""
    steps: int
    epochs: float
    """How often each row was seen."""
    dev_loss: float
    best_dev_loss: float
    figures: list[Figure]

    def figure(self, metric: str) -> Figure:
        """The figure of that metric. Raises StopIteration where it was not measured."""
        return next(figure for figure in self.figures if figure.metric == metric)


def transfer(settings: TransferConfig) -> list[Point]:
    """Run all points; writes `transfer.json` and `transfer.png`; returns the points."""
    from training.transfer.plot import draw

    points = []
    for share in sorted(settings.shares):
        for start in STARTS:
            points.append(_point(settings, start, share))
            print(_row(points[-1]))
    table = [point.model_dump() for point in points]
    atomic_write(settings.output / "transfer.json", json.dumps(table, indent=2) + "\n")
    draw(settings.output / "transfer.png", points)
    print(f"written: {settings.output / 'transfer.json'}, {settings.output / 'transfer.png'}")
    return points


def subset(share: float, seed: int) -> Reader:
    """A reader that keeps a random `share` of the training inputs, at least one; shares are nested."""

    def read(path: Path, tokenizer: ChatTokenizer, row_tokens: int) -> Examples:
        examples = read_answers(path, tokenizer, row_tokens)
        if path.name != "train.jsonl":
            return examples
        order = np.random.default_rng(seed).permutation(len(examples.groups))
        kept = order[: max(1, round(share * len(order)))]
        groups = [examples.groups[i] for i in sorted(kept.tolist())]
        return Examples(groups, sum(len(group.ids) for group in groups), examples.too_long)

    return read


def point_folder(settings: TransferConfig, start: Start, share: float) -> Path:
    """Where a point's run is."""
    return settings.output / f"{start}-{share:.4f}"


def point_folders(settings: TransferConfig) -> list[Path]:
    """The run folders of the study."""
    return [point_folder(settings, start, share) for share in settings.shares for start in STARTS]


def _point(settings: TransferConfig, start: Start, share: float) -> Point:
    """Train, or take the finished run."""
    base = model_folder(settings.start)
    folder = settings.tokenizer or base
    output = point_folder(settings, start, share)
    mine = settings.model_copy(update={"output": output})
    identity = identity_of("transfer", mine, folder, base if start == "pretrained" else None)
    del identity["shares"]  # another list of sizes leaves the runs that are done as they are
    identity |= {"share": share, "start": str(settings.start) if start == "pretrained" else None}
    result = finished_result(mine, identity)
    if result is None:
        print(f"transfer: {start} start, {share:.1%} of the inputs", file=sys.stderr)
        (output / "outcome.json").unlink(missing_ok=True)  # of an earlier run with other settings
        tokenizer = ChatTokenizer(folder)
        model = load_model(base, settings.dropout)
        if start == "random":
            torch.manual_seed(settings.seed)
            model = Llama(model.config, tokenizer.vocabulary, settings.dropout)
        task = Task("transfer", mine, tokenizer, model, subset(share, settings.seed))
        result = run_task(task, identity)
    shutil.rmtree(output / "checkpoints", ignore_errors=True)  # only an interrupted point needs them
    technique = Technique(f"{start}-{share:.4f}", f"{start}, {share:.1%}", "fine-tuning")
    outcome = _outcome(output, technique, settings.quality_inputs)
    return Point(
        start=start, share=share, inputs=result["train_groups"], rows=result["train_rows"],
        steps=result["steps"], epochs=result["epochs"], dev_loss=result["dev_loss"],
        best_dev_loss=result["best_dev_loss"], figures=outcome.figures,
    )  # fmt: skip


def _outcome(run: Path, technique: Technique, inputs: int | None) -> Outcome:
    """Of an earlier call, or measured now."""
    try:
        return Outcome.read(run)
    except OutcomeError:
        return measure(run, technique, inputs=inputs)


def _row(point: Point) -> str:
    bleu = point.figure("bleu")
    return (
        f"{point.start:<10} {point.inputs:>6,} inputs {point.rows:>7,} rows {point.epochs:>7.1f} epochs  "
        f"dev loss {point.dev_loss:.3f}  BLEU {bleu.value:.1f} [{bleu.ci_low:.1f}, {bleu.ci_high:.1f}]"
    )
