"""The task file: what both kinds of prompts, written and learnt, are found for, and the budget of each."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from common.config import StrictModel
from evaluation.scoring import METRICS

Format = Literal["as-is", "colons", "lines", "equals", "json"]
Choice = Literal["random", "nearest"]
Order = Literal["drawn", "reversed"]
Layout = Literal["turns", "text"]
Split = Literal["dev", "test"]

EXACT = "exact"
KNOWN_METRICS = (*METRICS, EXACT)
TRAINING_COST = 3
"""Forward passes that a training step stands for: one forward, and a backward pass of about two (Kaplan et
al. 2020, 2001.08361, section 2.1). With frozen weights the backward pass is nearer to one: the count is not
in favour of training."""


def _known_metric(name: str) -> str:
    if name not in KNOWN_METRICS:
        near = difflib.get_close_matches(name, KNOWN_METRICS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(KNOWN_METRICS)}"
        raise ValueError(f"unknown metric {name!r}; {hint}")
    return name


Metric = Annotated[str, AfterValidator(_known_metric)]


class Sizes(StrictModel):
    """How many distinct inputs each part of the work sees. `search` and `demonstrations` come out of the
    training split and are all that either kind may learn from; `report` is held out."""

    search: int = Field(default=128, ge=1)
    """Inputs that candidates are scored on."""
    demonstrations: int = Field(default=64, ge=0)
    """Inputs that demonstrations are chosen from."""
    report: int | None = Field(default=None, ge=2)
    """Held-out inputs of the report; null takes all of `report_splits`."""


class Candidates(StrictModel):
    """The space of written prompts: one value of each list makes a candidate."""

    instructions: tuple[str, ...] = Field(default=("",), min_length=1)
    """Before the input, or around it where the text holds `{input}`; an empty text is no instruction."""
    separators: tuple[str, ...] = Field(default=("\n",), min_length=1)
    """Between the instruction and the input."""
    formats: tuple[Format, ...] = Field(default=("as-is",), min_length=1)
    """How an attribute list is written; inputs of another form stay as they are."""
    demonstrations: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    """How many solved examples stand before the input."""
    choices: tuple[Choice, ...] = Field(default=("random", "nearest"), min_length=1)
    """The same random ones for every input, or those whose words are most like the input's."""
    draws: int = Field(default=3, ge=1)
    """Different random choices to try."""
    orders: tuple[Order, ...] = Field(default=("drawn", "reversed"), min_length=1)
    """`drawn`: the nearest comes last."""
    layouts: tuple[Layout, ...] = Field(default=("turns", "text"), min_length=1)
    """As earlier turns of the conversation, or as text in front of the input."""

    @model_validator(mode="after")
    def _templates_have_one_place(self) -> Self:
        for text in self.instructions:
            if text.count("{input}") > 1:
                raise ValueError(f"instruction {text!r}: {{input}} must stand in it at most once")
        return self


class SearchSettings(StrictModel):
    """Rounds of successive halving; from the second on, candidates are neighbours of the best so far."""

    population: int = Field(default=27, ge=2)
    """Candidates of a round."""
    eta: int = Field(default=3, ge=2)
    """One of `eta` candidates goes on to the next rung."""
    rounds: int = Field(default=2, ge=1)
    min_inputs: int = Field(default=4, ge=1)
    """Fewest inputs that a candidate is judged by; where the budget does not allow them for all candidates,
    fewer candidates are tried."""


class PromptTask(StrictModel):
    """One task, with the rows, metrics and budget that a search and a soft prompt are both held to."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    data: Path
    """Folder of a prepared data set (`python -m training data`)."""
    rows: str = "data-to-text"
    """The `task` of the rows to take."""
    input: Literal["whole", "body"] = "whole"
    """`body` drops the first line of the user message, where the data set asks for the task in words, so that
    only the prompt can say what is wanted."""
    report_splits: tuple[Split, ...] = Field(default=("dev",), min_length=1)
    """Splits that held-out inputs come from."""
    metrics: tuple[Metric, ...] = Field(default=("bleu", "chrf", "ser"), min_length=1)
    """The first one decides between candidates; all are reported. `exact`: share of answers that equal a
    reference but for white space and case."""
    seed: int = Field(default=1, ge=0)
    sizes: Sizes = Sizes()
    budget: int = Field(ge=1)
    """Forward tokens to find a prompt with: tokens that pass through the model once, of prompts and of
    answers. A token that is trained on counts three (TRAINING_COST). The held-out report is on top, for every
    kind."""
    max_tokens: int = Field(default=96, ge=1)
    """Longest answer."""
    context: int | None = Field(default=None, ge=8)
    """Longest prompt and answer together, in tokens; null: what the model has room for. Demonstrations that
    do not fit are left out, the least like the input first."""
    candidates: Candidates = Candidates()
    search: SearchSettings = SearchSettings()
    resamples: int = Field(default=1000, ge=0)
    """Of the bootstrap behind the intervals."""

    @property
    def deciding(self) -> str:
        """The metric that decides between candidates."""
        return self.metrics[0]

    @model_validator(mode="after")
    def _enough_demonstrations(self) -> Self:
        most = max(self.candidates.demonstrations)
        if most > self.sizes.demonstrations:
            raise ValueError(
                f"candidates.demonstrations asks for {most} solved examples, sizes.demonstrations has only "
                f"{self.sizes.demonstrations} to choose from"
            )
        return self
