"""Teach the model its own beam search: a training set of the beam's answers, those chosen that pass the slot
check and are closest to the references.

Sequence-level interpolation (Kim and Rush 2016, 1606.07947, section 3.3) with the model as its own teacher.
Afterwards its greedy answers are close to what the beam gave, so that every road serves that quality without
a beam. On the hard split (n = 331) the answers of the beam alone taught 66.0 BLEU greedy and 66.3 by beam,
the closest of eight 66.5 and 66.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.headline.answer import choose
from training.headline.beam import BeamSearch, n_best
from training.headline.pairs import Pairs, read_pairs, write_data


def chosen_inputs(groups: Sequence[Pairs], count: int, seed: int) -> list[Pairs]:
    """`count` of the inputs at random, those with more attributes more often: they are the hard ones."""
    sizes = np.array([len(pairs.attributes) for pairs in groups], dtype=float)
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(groups), min(count, len(groups)), replace=False, p=sizes / sizes.sum())
    return [groups[i] for i in sorted(picked.tolist())]


def teach(data: Path, model: Path, output: Path, count: int, seed: int, search: BeamSearch) -> str:
    """Write the data set `output`: `count` training inputs of `data`, each with one beam answer."""
    groups = chosen_inputs(read_pairs(data / "train.jsonl"), count, seed)
    prompts = [pairs.prompt for pairs in groups]
    made = choose(prompts, n_best(model, prompts, search), [pairs.texts for pairs in groups])
    taught = [Pairs(p.attributes, (t,), p.instruction) for p, t in zip(groups, made.texts, strict=True)]
    rows = write_data(output, taught, data)
    return f"{output}: {rows:,} answers by {search.beams} beams, {made.errors} slot errors in {made.slots}"
