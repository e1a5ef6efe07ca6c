"""What a prepared data set contains, counted while it is written."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.data.attributes import find_attributes
from training.data.records import DATA_TO_TEXT

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


class SplitStats:
    """Counts of one split. Memory grows with its vocabulary and 8 bytes a row, not with its text."""

    def __init__(self) -> None:
        self.rows = 0
        self.tasks: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.sizes: Counter[int] = Counter()
        self.words: Counter[str] = Counter()
        self._answer_words = array("i")
        self._input_words = array("i")

    def add(self, task: str, prompt: str, answer: str | None) -> None:
        """Count one row: its task, the content of its user message, its answer."""
        self.rows += 1
        self.tasks[task] += 1
        if answer is not None:
            words = _WORD.findall(answer.lower())
            self.words.update(words)
            self._answer_words.append(len(words))
        if prompt:
            self._input_words.append(len(_WORD.findall(prompt)))
        attributes = find_attributes(prompt) if task == DATA_TO_TEXT else None
        if attributes is not None:
            self.attributes.update(attributes.keys())
            self.sizes[len(attributes)] += 1

    def summary(self, distinct_inputs: int, references: Sequence[int]) -> dict[str, Any]:
        """The counts as JSON; `references`: how many each description or chat input has."""
        once = sum(1 for count in self.words.values() if count == 1)
        return {
            "rows": self.rows,
            "tasks": dict(sorted(self.tasks.items())),
            "distinct_inputs": distinct_inputs,
            "references_per_input": percentiles(references),
            "input_words": percentiles(self._input_words),
            "answer_words": percentiles(self._answer_words),
            "vocabulary_words": len(self.words),
            "words_seen_once": once,
            "attributes": dict(sorted(self.attributes.items(), key=lambda item: (-item[1], item[0]))),
            "attributes_per_input": {str(size): self.sizes[size] for size in sorted(self.sizes)},
        }


def percentiles(values: Sequence[int]) -> dict[str, float]:
    """n, mean, min, max and PERCENTILES of `values`."""
    if not len(values):
        return {"n": 0}
    numbers = np.asarray(values)
    cuts = np.percentile(numbers, PERCENTILES)
    return {
        "n": len(numbers),
        "mean": round(float(numbers.mean()), 2),
        "min": int(numbers.min()),
        **{f"p{p}": round(float(cut), 1) for p, cut in zip(PERCENTILES, cuts, strict=True)},
        "max": int(numbers.max()),
    }
