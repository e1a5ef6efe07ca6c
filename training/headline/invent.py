"""Inputs that nobody wrote a text for: kinds of place with more attributes than training inputs of that kind.

A model is best at what it has seen, and no training input shows some kinds of place with many attributes. How
a model does there can be tried without a text, by the slot check. As training data (self-training by sampling
and a check: Kedzie and McKeown 2019, 1911.03373) answers to such inputs gained nothing on E2E: 66.0 BLEU on
the hard split without them, 65.5 with 1,200 of them (n = 331, one seed).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.headline.pairs import Pairs, usual_order, values_of
from training.headline.swap import KIND_SLOT


def invented(groups: Sequence[Pairs], count: int, seed: int) -> list[Pairs]:
    """`count` distinct inputs without texts, none of them in `groups`; fewer where so few are possible.

    Each has the attributes of one of the longer inputs of `groups` and, up to a size drawn from those sizes,
    attributes that it lacks, with values that occur; its kind of place is drawn evenly among all kinds.
    """
    rng = np.random.default_rng(seed)
    order, values = usual_order(groups), values_of(groups)
    sizes = np.array([len(pairs.attributes) for pairs in groups])
    long = [pairs for pairs in groups if len(pairs.attributes) >= np.median(sizes)]
    known = {pairs.key for pairs in groups}
    made: list[Pairs] = []
    for _ in range(20 * count):
        if len(made) == count:
            break
        begun = long[rng.integers(len(long))]
        pairs = Pairs(_extended(begun.attributes, order, values, rng), (), begun.instruction)
        if pairs.key not in known:
            known.add(pairs.key)
            made.append(pairs)
    return made


def _extended(
    attributes: dict[str, str], order: Sequence[str], values: dict[str, list[str]], rng: np.random.Generator
) -> dict[str, str]:
    """More attributes in the usual order, with a kind of place drawn anew."""
    found = dict(attributes)
    if KIND_SLOT in values:
        found[KIND_SLOT] = str(rng.choice(values[KIND_SLOT]))
    lacking = [slot for slot in order if slot not in found]
    extra = rng.integers(0, len(lacking) + 1)
    for slot in rng.permutation(lacking)[:extra].tolist():
        free = [value for value in values[slot] if value not in found.values()]
        if free:
            found[slot] = str(rng.choice(free))
    return {slot: found[slot] for slot in order if slot in found}
