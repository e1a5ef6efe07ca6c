"""What every technique of the curriculum leaves behind, in one schema: `outcome.json` in its run folder.

The comparison (`make train-all`) reads these and nothing else, so a technique joins the table by writing one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from common.config import StrictModel
from common.errors import TriviumError
from common.files import atomic_write

NAME = "outcome.json"
Family = Literal["baseline", "fine-tuning", "adapter", "distillation", "alignment", "prompting"]


class OutcomeError(TriviumError):
    """A run folder holds no readable outcome."""


class Figure(StrictModel):
    """One measured figure; `n` counts inputs, the interval is the 95 % bootstrap over them."""

    metric: str
    value: float
    n: int
    ci_low: float | None = None
    ci_high: float | None = None
    unit: str = ""
    higher_is_better: bool | None = True


class Serving(StrictModel):
    """How fast the result is served, where that was measured."""

    tokens_per_second: float
    """Output tokens of one server that is kept busy; an adapter stands beside its base model, not merged."""
    how: str
    """Server, format and load, in words."""
    low: float | None = None
    """Slowest round."""
    high: float | None = None
    """Fastest round."""
    rounds: int | None = None
    relative: float | None = None
    """Times the rate of the suite's unadapted model, round by round; the median."""
    merged_tokens_per_second: float | None = None
    """Of an adapter that was written into the weights."""


class Outcome(StrictModel):
    """One technique, trained once with one seed."""

    technique: str
    """Short key, unique in a suite: `full`, `lora`, `dpo`, …"""
    label: str
    """For tables and plots, for example `LoRA r = 16`."""
    family: Family
    seed: int
    data: str
    """Data set folder or name."""
    start: str | None
    """Folder of the model it started from; None for a random start."""
    model: str | None
    """Folder of a whole model (Hugging Face layout) that serves the result."""
    adapter: str | None = None
    """Folder of a PEFT adapter on top of `start`."""
    total_parameters: int
    trainable_parameters: int
    train_seconds: float
    peak_rss_bytes: int
    """Largest resident memory of the training process."""
    artifact_bytes: int
    """What must be shipped: the model, or the adapter alone."""
    tokens: int = 0
    """Positions trained on, without padding; sampled tokens count."""
    figures: list[Figure]
    """Quality on the dev inputs: at least `bleu` and, for attribute lists, `ser`."""
    answers: str | None = None
    """File of the answers behind the figures, `{"input", "output"}` a line; None where the run folder holds
    it as `answers-dev.jsonl`, or where answers were not kept."""
    serving: Serving | None = None
    details: dict[str, float | str] = {}
    """What only this technique has: KL to the reference, win rate, reward, …"""
    command: str
    """The command that made it."""

    def write(self, folder: Path) -> None:
        """Write `folder/outcome.json`, whole or not at all."""
        atomic_write(folder / NAME, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Outcome:
        """Raises OutcomeError naming the file."""
        path = folder / NAME
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as exc:
            raise OutcomeError(f"{path}: no readable outcome ({exc}); run that technique again") from exc

    def figure(self, metric: str) -> Figure | None:
        """The figure of that metric, if it was measured."""
        return next((figure for figure in self.figures if figure.metric == metric), None)
