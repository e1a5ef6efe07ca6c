"""Leave out training texts that do not say what their input asks for (Dušek et al. 2019, 1911.03905)."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.slots.attributes import Attribute
from evaluation.slots.matcher import SlotMatcher
from training.headline.pairs import Pairs


def attributes_of(pairs: Pairs) -> list[Attribute]:
    """The attributes as the slot matcher takes them."""
    return [Attribute(slot, value) for slot, value in pairs.attributes.items()]


def clean(groups: Sequence[Pairs]) -> list[Pairs]:
    """Each input with its texts of fewest slot errors, at least one text each."""
    matcher = SlotMatcher(attributes_of(pairs) for pairs in groups)
    result = []
    for pairs in groups:
        wanted = attributes_of(pairs)
        errors = [len(matcher.errors(wanted, text)) for text in pairs.texts]
        fewest = min(errors)
        texts = tuple(text for text, count in zip(pairs.texts, errors, strict=True) if count == fewest)
        result.append(Pairs(pairs.attributes, texts, pairs.instruction))
    return result
