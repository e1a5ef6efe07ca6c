"""Candidate prompts: points of a grid, a sample of it, and the neighbours of a point."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from common.config import StrictModel
from evaluation.prompting.task import Candidates, Choice, Format, Layout, Order


class Candidate(StrictModel):
    """One written prompt; the default is none."""

    instruction: str = ""
    separator: str = "\n"
    format: Format = "as-is"
    demonstrations: int = 0
    choice: Choice = "random"
    draw: int = 0
    """Which of the random choices."""
    order: Order = "drawn"
    layout: Layout = "turns"

    @property
    def is_none(self) -> bool:
        """Whether the input is sent as it is."""
        return self == Candidate()

    def words(self) -> str:
        """The prompt for people, for example `“Describe it.”, 2 nearest demonstrations as turns`."""
        parts = [f"“{self.instruction}”"] if self.instruction else []
        if self.format != "as-is":
            parts.append(f"attributes as {self.format}")
        if self.demonstrations:
            which = "nearest" if self.choice == "nearest" else f"random (draw {self.draw})"
            order = ", reversed" if self.order == "reversed" else ""
            plural = "s" if self.demonstrations > 1 else ""
            parts.append(f"{self.demonstrations} {which} demonstration{plural} as {self.layout}{order}")
        return ", ".join(parts) or "the input as it is"


def canonical(candidate: Candidate) -> Candidate:
    """Values that change nothing at their default, so that no prompt is tried twice."""
    changes: dict[str, Any] = {}
    if not candidate.demonstrations:
        changes |= {"choice": "random", "draw": 0, "order": "drawn", "layout": "turns"}
    elif candidate.choice == "nearest":
        changes["draw"] = 0
    if candidate.demonstrations == 1:
        changes["order"] = "drawn"
    if not candidate.instruction or "{input}" in candidate.instruction:
        changes["separator"] = "\n"
    return candidate.model_copy(update=changes)


def axes_of(space: Candidates) -> dict[str, Sequence[Any]]:
    """The values of each field of a candidate."""
    return {
        "instruction": space.instructions, "separator": space.separators, "format": space.formats,
        "demonstrations": space.demonstrations, "choice": space.choices, "draw": range(space.draws),
        "order": space.orders, "layout": space.layouts,
    }  # fmt: skip


def sample(space: Candidates, count: int, rng: random.Random) -> list[Candidate]:
    """No prompt, and up to `count` - 1 others; every value of every list comes about equally often."""
    axes = axes_of(space)
    made = {Candidate(): None}
    for _ in range(20):  # a small space holds fewer than `count` different prompts
        columns = {name: _spread(values, count, rng) for name, values in axes.items()}
        for row in range(count):
            made.setdefault(canonical(Candidate(**{name: column[row] for name, column in columns.items()})))
            if len(made) >= count:
                return list(made)
    return list(made)


def _spread(values: Sequence[Any], count: int, rng: random.Random) -> list[Any]:
    """`count` values, each of `values` as often as any other, in random order."""
    column = [values[index % len(values)] for index in range(count)]
    rng.shuffle(column)
    return column


def neighbours(best: Candidate, space: Candidates, rng: random.Random) -> list[Candidate]:
    """All candidates that differ from `best` in one value (mutation), in random order."""
    others = {
        canonical(best.model_copy(update={name: value})): None
        for name, values in axes_of(space).items()
        for value in values
    }
    others.pop(best, None)
    found = list(others)
    rng.shuffle(found)
    return found
