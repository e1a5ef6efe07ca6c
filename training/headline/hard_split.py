"""A dev split that is as hard as new combinations are: cut out of the training inputs.

An ordinary dev set looks like the training set. A test set asks for kinds of place with more attributes than
any training input of that kind has. So this split holds out, for each kind of place (`eatType`), the inputs
with most attributes; of the kind that has the longest inputs of all, only every second one, so that inputs of
that length stay in training.
"""

from __future__ import annotations

from collections.abc import Sequence

from training.headline.pairs import Pairs, PairsError
from training.headline.swap import KIND_SLOT


def split(groups: Sequence[Pairs]) -> tuple[list[Pairs], list[Pairs]]:
    """(training inputs, hard dev inputs). Raises PairsError where there is no `eatType` to split by."""
    longest = longest_of_kinds(groups)
    if not longest:
        raise PairsError(f"no input has {KIND_SLOT}[…]: there is no kind of place to split by")
    most = max(longest.values())
    candidates = [p for p in groups if len(p.attributes) == longest.get(p.attributes.get(KIND_SLOT, ""))]
    longest_of_all = sorted(p.key for p in candidates if len(p.attributes) == most)
    held_out = {p.key for p in candidates if len(p.attributes) < most} | set(longest_of_all[::2])
    return [p for p in groups if p.key not in held_out], [p for p in groups if p.key in held_out]


def longest_of_kinds(groups: Sequence[Pairs]) -> dict[str, int]:
    """Kind of place to the most attributes that an input of it has."""
    longest: dict[str, int] = {}
    for pairs in groups:
        if kind := pairs.attributes.get(KIND_SLOT):
            longest[kind] = max(longest.get(kind, 0), len(pairs.attributes))
    return longest
