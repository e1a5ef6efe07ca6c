"""Teach a model what several models found by beam search: a training set of their best answers.

Sequence-level interpolation (Kim and Rush 2016, 1606.07947, section 3.3) with a pool of models as the
teacher: training inputs get the answer that is closest to their references, invented ones (`invent.py`) the
answer that the others agree with, both of those that pass the slot check. Afterwards the greedy answers of
one model are close to what the pool gave by beam search, and every road serves that quality without a beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.headline.answer import choose, closest, most_agreed
from training.headline.beam import BeamSearch, n_best
from training.headline.invent import invented
from training.headline.pairs import Pairs, read_pairs, write_data


def chosen_inputs(groups: Sequence[Pairs], count: int, seed: int) -> list[Pairs]:
    """`count` of the inputs at random, those with more attributes more often: they are the hard ones."""
    sizes = np.array([len(pairs.attributes) for pairs in groups], dtype=float)
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(groups), min(count, len(groups)), replace=False, p=sizes / sizes.sum())
    return [groups[i] for i in sorted(picked.tolist())]


def teach(
    data: Path, models: Sequence[Path], output: Path, count: int, extra: int, seed: int, search: BeamSearch
) -> str:
    """Write the data set `output`: `count` training inputs of `data` and up to `extra` invented ones, each
    with one answer of the `models` (Hugging Face folders)."""
    groups = read_pairs(data / "train.jsonl")
    known, new = chosen_inputs(groups, count, seed), invented(groups, extra, seed)
    answered, agreed = _like_references(known, models, search), _agreed(new, models, search)
    write_data(output, [*answered, *agreed], data)
    return (
        f"{output}: answers of {len(models)} model(s) by {search.beams} beams to {len(answered):,} training "
        f"inputs, and to {len(agreed):,} of {len(new):,} invented ones, whose best answer has no slot error"
    )


def _like_references(groups: Sequence[Pairs], models: Sequence[Path], search: BeamSearch) -> list[Pairs]:
    made = choose(
        [pairs.prompt for pairs in groups], _pooled(groups, models, search),
        lambda i, texts: closest(texts, groups[i].texts),
    )  # fmt: skip
    return [Pairs(p.attributes, (t,), p.instruction) for p, t in zip(groups, made.texts, strict=True)]


def _agreed(groups: Sequence[Pairs], models: Sequence[Path], search: BeamSearch) -> list[Pairs]:
    made = choose(
        [pairs.prompt for pairs in groups], _pooled(groups, models, search), lambda _, t: most_agreed(t)
    )
    return [
        Pairs(pairs.attributes, (text,), pairs.instruction)
        for pairs, text, errors in zip(groups, made.texts, made.counts, strict=True)
        if errors == 0
    ]


def _pooled(groups: Sequence[Pairs], models: Sequence[Path], search: BeamSearch) -> list[list[str]]:
    """All models' beams of each input, the best of each model first."""
    prompts = [pairs.prompt for pairs in groups]
    found = [n_best(model, prompts, search) for model in models]
    pools = zip(*found, strict=True)  # per input one beam of each model
    return [[text for rank in zip(*pool, strict=True) for text in rank] for pool in pools]
