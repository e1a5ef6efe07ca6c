"""The shift of a test set, mirrored onto a dev set: a kind of place at a length known of other kinds only.

The test inputs of E2E ask for pubs and restaurants with seven and eight attributes; in training and dev set
only coffee shops have so many. So here the long coffee shops of training become pubs, in input and texts, and
the long dev inputs are what the test inputs are: of a kind that was never that long. Not restaurants: writers
name that kind unasked and in words of their own (`told.py`), and renamed coffee shops would unteach them.
Unlike the hard split, which is a few names only, they have many names and the references of a dev set.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from training.headline.hard_split import longest_of_kinds
from training.headline.pairs import Pairs, PairsError
from training.headline.swap import KIND_SLOT, retold
from training.headline.told import told_kinds, told_unasked


def mirror(groups: Sequence[Pairs], dev: Sequence[Pairs]) -> tuple[list[Pairs], list[Pairs]]:
    """(training inputs, dev inputs). Texts that do not name their kind word for word are left out.

    Raises PairsError where there are not two such kinds of place, one of them with the longest inputs.
    """
    longest = longest_of_kinds(groups)
    kind = max(longest, key=longest.__getitem__, default="")
    others = sorted(set(longest) - {kind} - told_unasked(groups, told_kinds(groups)))
    known = max((longest[other] for other in others), default=0)

    def is_long(pairs: Pairs) -> bool:
        return pairs.attributes.get(KIND_SLOT) == kind and len(pairs.attributes) > known

    held_out = [pairs for pairs in dev if is_long(pairs)]
    if not others or not held_out:
        raise PairsError(
            f"a mirror split wants two values of {KIND_SLOT}[…], one of them with the longest inputs"
        )
    names, train = cycle(others), []
    for pairs in groups:
        if not is_long(pairs):
            train.append(pairs)
        elif texts := retold(pairs.texts, kind, new := next(names)):
            train.append(Pairs({**pairs.attributes, KIND_SLOT: new}, tuple(texts), pairs.instruction))
    return train, held_out
