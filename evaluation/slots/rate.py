"""The slot error rate of a set of outputs.

    SER = (missing + added + wrong) / slots asked for

as in Wen et al. (2015), Semantically Conditioned LSTM-based NLG for Spoken Dialogue Systems, with wrong
values counted once, as in Dušek et al. (2019), Semantic Noise Matters for Neural NLG.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from evaluation.bootstrap import Measure, mean_of
from evaluation.report import SlotErrors
from evaluation.slots.attributes import SLOTS, parse_attributes
from evaluation.slots.matcher import SlotMatcher

KINDS = ("missing", "added", "wrong")


def slot_errors(inputs: Sequence[str], hypotheses: Sequence[str]) -> tuple[Measure, SlotErrors] | None:
    """Slot error rate in percent with its counts, or None where not every input is an attribute list."""
    attribute_lists = [parse_attributes(text) for text in inputs]
    if not all(attribute_lists):
        return None
    matcher = SlotMatcher(attribute_lists)
    rows, by_slot, faulty = [], {slot: Counter[str]() for slot in SLOTS}, 0
    for attributes, text in zip(attribute_lists, hypotheses, strict=True):
        errors = matcher.errors(attributes, text)
        for error in errors:
            by_slot[error.slot][error.kind] += 1
        for attribute in attributes:
            by_slot[attribute.slot]["slots"] += 1
        faulty += bool(errors)
        rows.append([100.0 * len(errors), float(len(attributes))])
    total = Counter[str]()
    for counts in by_slot.values():
        total.update(counts)
    measure = Measure(
        "ser", "slot error rate", "%", "(missing + added + wrong) / slots asked for, by patterns per value",
        np.array(rows), mean_of, higher_is_better=False,
    )  # fmt: skip
    details = SlotErrors(
        slots=total["slots"], missing=total["missing"], added=total["added"], wrong=total["wrong"],
        outputs_with_errors=faulty,
        by_slot={slot: {key: counts[key] for key in ("slots", *KINDS)} for slot, counts in by_slot.items()},
    )  # fmt: skip
    return measure, details
