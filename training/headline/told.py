"""Correct the input where a text tells more: a kind of place that nobody asked for.

Half of the inputs of E2E ask for no kind of place, and of their writers almost every second one made it a
restaurant. Under the input that asks for a restaurant such a text is right, and it shows what no other does:
a restaurant with six to eight attributes. The data set's authors cleaned it the same way (Dušek et al. 2019,
1911.03905). The text stays under its own input, too.

Half of the texts about restaurants say "an Italian restaurant", a quarter of those about pubs "an Italian
pub". So such a kind takes no part in the swap of kinds (`swap.py`): no pub becomes a restaurant, nor the
reverse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from training.headline.pairs import Pairs, usual_order, values_of
from training.headline.swap import KIND_SLOT, says


def told_kinds(groups: Sequence[Pairs]) -> list[Pairs]:
    """For the inputs without a kind of place: inputs that ask for the one kind that texts tell."""
    kinds, order = values_of(groups).get(KIND_SLOT, []), usual_order(groups)
    found: list[Pairs] = []
    for pairs in groups:
        if KIND_SLOT in pairs.attributes:
            continue
        told = [[kind for kind in kinds if says(text, kind)] for text in pairs.texts]
        for kind in kinds:
            if texts := tuple(text for text, of in zip(pairs.texts, told, strict=True) if of == [kind]):
                asked = {**pairs.attributes, KIND_SLOT: kind}
                attributes = {slot: asked[slot] for slot in order if slot in asked}
                found.append(Pairs(attributes, texts, pairs.instruction))
    return found


def told_unasked(groups: Sequence[Pairs], told: Sequence[Pairs]) -> set[str]:
    """The kinds of which more texts tell unasked (`told`) than asked (`groups`)."""
    asked, unasked = _texts(groups), _texts(told)
    return {kind for kind, count in unasked.items() if count > asked[kind]}


def _texts(groups: Sequence[Pairs]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for pairs in groups:
        if kind := pairs.attributes.get(KIND_SLOT):
            counts[kind] += len(pairs.texts)
    return counts
