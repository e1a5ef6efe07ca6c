"""Make the headline model's training set: clean texts, and copies that tell of other values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from training.headline.clean import clean
from training.headline.hard_split import split
from training.headline.mirror import mirror
from training.headline.pairs import Pairs, read_pairs, write_data
from training.headline.swap import ValueSwapper
from training.headline.told import told_kinds, told_unasked

HeldOut = Literal["hard", "mirror"]


def augmented(groups: Sequence[Pairs], copies: int, seed: int, *, keep_errors: bool) -> list[Pairs]:
    """The inputs with texts that say what they ask for; inputs that ask for kinds of place that texts tell
    unasked; `copies` versions of the former with other values. With `keep_errors` nothing is corrected."""
    kept = list(groups) if keep_errors else clean(groups)
    told = [] if keep_errors else clean(told_kinds(groups))
    swapper, rng = ValueSwapper.of(kept, told_unasked(kept, told)), np.random.default_rng(seed)
    swapped = (swapper.swap(pairs, rng) for _ in range(copies) for pairs in kept)
    return [*kept, *told, *(pairs for pairs in swapped if pairs is not None)]


def augment(
    data: Path,
    output: Path,
    copies: int,
    seed: int,
    *,
    keep_errors: bool = False,
    held_out: HeldOut | None = None,
) -> str:
    """Write the data set `output` from the prepared one in `data`; returns what was done, for people.

    `held_out`: "hard" cuts the hard split out of the training inputs first, "mirror" renames the long ones
    (`hard_split.py`, `mirror.py`); either brings the dev set to measure it on.
    Raises PairsError, ExamplesError or FileError.
    """
    groups = read_pairs(data / "train.jsonl")
    train, dev = groups, None
    if held_out == "hard":
        train, dev = split(groups)
    elif held_out == "mirror":
        train, dev = mirror(groups, read_pairs(data / "dev.jsonl"))
    made = augmented(train, copies, seed, keep_errors=keep_errors)
    rows = write_data(output, made, data, dev)
    before = sum(len(pairs.texts) for pairs in train)
    measured = f", {len(dev)} {held_out} dev inputs" if dev else ""
    return f"{output}: {rows:,} rows on {len(made):,} inputs, from {before:,} on {len(train):,}{measured}"
