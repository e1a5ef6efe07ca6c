"""Teach a model what several models found by beam search: a training set of their best answers.

Sequence-level interpolation (Kim and Rush 2016, 1606.07947, section 3.3) with a pool of models as the
teacher: of all their answers that pass the slot check, the one that is closest to the references is taught.
Afterwards the greedy answers of one model are close to what the pool gave by beam search, and every road
serves that quality without a beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.headline.answer import choose, closest
from training.headline.beam import BeamSearch, n_best
from training.headline.pairs import Pairs, read_pairs, write_data


def chosen_inputs(groups: Sequence[Pairs], count: int, seed: int) -> list[Pairs]:
    """`count` of the inputs at random, those with more attributes more often: they are the hard ones."""
    sizes = np.array([len(pairs.attributes) for pairs in groups], dtype=float)
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(groups), min(count, len(groups)), replace=False, p=sizes / sizes.sum())
    return [groups[i] for i in sorted(picked.tolist())]


def teach(data: Path, models: Sequence[Path], output: Path, count: int, seed: int, search: BeamSearch) -> str:
    """Write the data set `output`: `count` training inputs of `data`, each with one answer of the `models`
    (Hugging Face folders)."""
    groups = chosen_inputs(read_pairs(data / "train.jsonl"), count, seed)
    prompts = [pairs.prompt for pairs in groups]
    made = choose(prompts, _pooled(prompts, models, search), lambda i, texts: closest(texts, groups[i].texts))
    taught = [Pairs(p.attributes, (t,), p.instruction) for p, t in zip(groups, made.texts, strict=True)]
    rows = write_data(output, taught, data)
    asked = f"{made.errors} slot errors in {made.slots}"
    return f"{output}: {rows:,} answers by {search.beams} beams of {len(models)} model(s), {asked}"


def _pooled(prompts: Sequence[str], models: Sequence[Path], search: BeamSearch) -> list[list[str]]:
    """All models' beams of each input, the best of each model first."""
    found = [n_best(model, prompts, search) for model in models]
    pools = zip(*found, strict=True)  # per input one beam of each model
    return [[text for rank in zip(*pool, strict=True) for text in rank] for pool in pools]
