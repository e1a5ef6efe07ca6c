"""Distinct-n and length of outputs, over 13a lower-cased tokens.

Distinct-n: Li et al. (2016), A Diversity-Promoting Objective Function for Neural Conversation Models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from evaluation.bootstrap import FloatArray, Measure, mean_of, ratio


def distinct(hypotheses: Sequence[str], order: int) -> Measure:
    """Distinct n-grams over all n-grams of all outputs, in percent.

    It depends on how much text there is, so compare systems on the same inputs only. A resample with
    repeats has fewer distinct n-grams by construction, so the interval is a delete-one jackknife.
    """
    counts = [Counter(_ngrams(tokens, order)) for tokens in _tokens(hypotheses)]
    totals = np.array([float(counter.total()) for counter in counts])
    outputs_with: Counter[tuple[str, ...]] = Counter(ngram for counter in counts for ngram in counter)
    # What the corpus loses without this output: the n-grams that occur in no other.
    own = np.array([float(sum(outputs_with[ngram] == 1 for ngram in counter)) for counter in counts])
    types = float(len(outputs_with))

    def combine(sums: FloatArray) -> FloatArray:
        return 100 * ratio(np.full(len(sums), types), sums[:, 0])

    return Measure(
        f"distinct{order}", f"distinct-{order}", "%",
        f"distinct {order}-grams over all {order}-grams, 13a tokens",
        totals[:, None], combine, leave_one_out=100 * ratio(types - own, totals.sum() - totals),
    )  # fmt: skip


def length(hypotheses: Sequence[str]) -> Measure:
    """Mean output length in 13a tokens."""
    rows = np.array([[float(len(tokens)), 1.0] for tokens in _tokens(hypotheses)])
    return Measure(
        "length", "length", "tokens", "mean output length, 13a tokens", rows, mean_of, higher_is_better=None
    )


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    tokenizer = Tokenizer13a()
    return [tokenizer(text).lower().split() for text in texts]


def _ngrams(tokens: Sequence[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]
