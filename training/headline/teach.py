"""Teach the model its own beam search: a training set of the answers that the beam and the slot check chose.

Sequence-level distillation (Kim and Rush 2016, 1606.07947) with the model as its own teacher. Afterwards its
greedy answers are close to what the beam gave, so that every road serves that quality without a beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.headline.answer import answer
from training.headline.beam import BeamSearch
from training.headline.pairs import Pairs, read_pairs, write_data


def chosen_inputs(groups: Sequence[Pairs], count: int, seed: int) -> list[Pairs]:
    """`count` of the inputs at random, those with more attributes more often: they are the hard ones."""
    sizes = np.array([len(pairs.attributes) for pairs in groups], dtype=float)
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(groups), min(count, len(groups)), replace=False, p=sizes / sizes.sum())
    return [groups[i] for i in sorted(picked.tolist())]


def teach(data: Path, model: Path, output: Path, count: int, seed: int, search: BeamSearch) -> str:
    """Write the data set `output`: `count` training inputs of `data` with the model's beam answers."""
    groups = chosen_inputs(read_pairs(data / "train.jsonl"), count, seed)
    made = answer(model, [pairs.prompt for pairs in groups], search)
    taught = [Pairs(p.attributes, (t,), p.instruction) for p, t in zip(groups, made.texts, strict=True)]
    rows = write_data(output, taught, data)
    return f"{output}: {rows:,} answers by {search.beams} beams, {made.errors} slot errors in {made.slots}"
