"""Which split a row belongs to, so that no two splits share an input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xxhash

from training.data.config import SplitConfig

TRAIN, DEV, TEST, DROPPED = 0, 1, 2, 3
UNDECLARED = -1


@dataclass(frozen=True, slots=True)
class Assignment:
    """Per row one of TRAIN, DEV, TEST, DROPPED; and which of dev and test the source brought itself."""

    codes: np.ndarray
    official: frozenset[int]


def assign_splits(groups: np.ndarray, declared: np.ndarray, config: SplitConfig, seed: int) -> Assignment:
    """Assign rows to splits.

    groups: (n,) int64, equal for rows with the same input. declared: (n,) int8, TRAIN, DEV, TEST or
    UNDECLARED. A split that the source brings is kept as it is, and rows outside it that share an input
    with it are DROPPED (test goes before dev, dev before train). A split that it does not bring is drawn
    from the other rows by whole inputs.
    """
    codes = np.where(declared == UNDECLARED, TRAIN, declared).astype(np.int8)
    official = frozenset(code for code in (DEV, TEST) if np.any(declared == code))
    for code in sorted(official, reverse=True):
        inside = codes == code
        codes[~inside & (codes < code) & np.isin(groups, groups[inside])] = DROPPED
    pool = np.unique(groups[codes == TRAIN])
    # An order that depends on the input and the seed alone: a new row moves no old one to another split.
    order = pool[np.argsort([rank(group, seed) for group in pool], kind="stable")]
    start = 0
    for code, share in ((DEV, config.dev), (TEST, config.test)):
        if code in official or share == 0:
            continue
        # At least one input, where enough remain to train on.
        count = max(round(share * len(order)), 1 if len(order) >= 3 else 0)
        codes[(codes == TRAIN) & np.isin(groups, order[start : start + count])] = code
        start += count
    return Assignment(codes, official)


def rank(group: int, seed: int) -> int:
    """A seeded 64-bit hash of a key: a place in an order that other keys do not change."""
    return xxhash.xxh3_64_intdigest(int(group).to_bytes(8, "little", signed=True), seed=seed & (2**64 - 1))
