"""Mixing by weights: how often each training row is written, and in which order. Seeded, no state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.corpus.config import CorpusError, MixConfig, SourceConfig
from training.data.splits import rank


@dataclass(frozen=True, slots=True)
class Mix:
    """repeats: (rows,) int64, how often each row is written. total: characters aimed at."""

    repeats: np.ndarray
    total: float
    note: str = ""


def mix(
    origins: np.ndarray, keys: np.ndarray, chars: np.ndarray, sources: Sequence[SourceConfig],
    settings: MixConfig, seed: int,
) -> Mix:  # fmt: skip
    """Choose the rows of the training split.

    origins: (rows,) index into `sources`; keys, chars: (rows,) hash and length of each row's text. With
    weights the mix grows until each source was used whole or one would repeat more than `max_repeats`
    times; within a source the rows with the smallest seeded hashes come once more than the others.
    Raises CorpusError where a weighted source has no row.
    """
    available = np.bincount(origins, weights=chars, minlength=len(sources))
    weights = _weights(available, sources)
    used = np.flatnonzero(weights)
    most = settings.max_repeats * available[used] / weights[used]
    whole = (available[used] / weights[used]).max()
    wanted = settings.total_chars or whole
    total = float(min(wanted, most.min()))
    # Another order than that of the splits, which hold out the smallest ranks.
    ranks = np.array([rank(key, seed + 1) for key in keys.tolist()], dtype=np.uint64)
    repeats = np.zeros(len(keys), dtype=np.int64)
    for source in used.tolist():
        rows = np.flatnonzero(origins == source)
        times, rest = divmod(total * weights[source], available[source])
        ordered = rows[np.argsort(ranks[rows], kind="stable")]
        once_more = ordered[np.cumsum(chars[ordered]) <= rest * (1 + 1e-12)]
        repeats[rows] = int(times)
        repeats[once_more] += 1
    note = ""
    if total < wanted:
        limiting = sources[int(used[np.argmin(most)])].name
        note = (
            f"{limiting} would repeat more than {settings.max_repeats:g} times (mix.max_repeats): "
            f"the mix ends at {total:,.0f} of {wanted:,.0f} characters"
        )
    return Mix(repeats, total, note)


def order(keys: np.ndarray, repeats: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows of the mix in a seeded random order, number of the repetition of each, from 1)."""
    rows = np.repeat(np.arange(len(keys)), repeats)
    starts = np.cumsum(repeats) - repeats
    times = np.arange(len(rows)) - np.repeat(starts, repeats) + 1
    ranks = [rank(keys[row], seed + 1 + time) for row, time in zip(rows, times.tolist(), strict=True)]
    chosen = np.argsort(np.array(ranks, dtype=np.uint64), kind="stable")
    return rows[chosen], times[chosen]


def _weights(available: np.ndarray, sources: Sequence[SourceConfig]) -> np.ndarray:
    """(sources,) shares that sum to 1; without weights those of the characters there are."""
    if sources[0].weight is None:
        shares: np.ndarray = available / math.fsum(available)
        return shares
    weights = np.array([source.weight for source in sources], dtype=float)
    empty = [source.name for source, a, w in zip(sources, available, weights, strict=True) if w and not a]
    if empty:
        raise CorpusError(
            f"no training row is left of {', '.join(empty)}, which has a weight; see quarantine.jsonl, "
            "loosen the filters or take the source out"
        )
    return np.asarray(weights / weights.sum())
