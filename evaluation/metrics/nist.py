"""NIST as mteval-v13a computes it, over 13a lower-cased tokens.

Doddington (2002), Automatic Evaluation of Machine Translation Quality Using N-gram Co-Occurrence Statistics:

    info(w1..wn) = log2( count(w1..wn-1) / count(w1..wn) )          counts over all references
    NIST = sum_{n=1..5} [ sum of info over matched n-grams / number of n-grams in the output ]
           * exp( beta * log( min(1, output length / mean reference length) )^2 )
    beta such that the factor is 0.5 at 2/3 of the length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from evaluation.bootstrap import FloatArray, Measure, ratio
from evaluation.metrics.overlap import Groups

MAX_ORDER = 5
_BETA = math.log(0.5) / math.log(1.5) ** 2

_Ngram = tuple[str, ...]


def nist(hypotheses: Sequence[str], references: Groups) -> Measure:
    """Corpus NIST-5. An n-gram matches as often as it occurs in the one reference that has it most.

    The information weights come from all these references and stay fixed when inputs are resampled.
    """
    tokenizer = Tokenizer13a()
    tokenized = [[tokenizer(text).lower().split() for text in group] for group in references]
    info = _information([tokens for group in tokenized for tokens in group])
    rows = [
        _statistics(tokenizer(text).lower().split(), group, info)
        for text, group in zip(hypotheses, tokenized, strict=True)
    ]
    return Measure(
        "nist", "NIST", "points", "mteval-v13a NIST-5 on 13a lower-cased tokens", np.array(rows), _combine
    )


def _information(references: Sequence[Sequence[str]]) -> dict[_Ngram, float]:
    counts: Counter[_Ngram] = Counter()
    for tokens in references:
        for order in range(1, MAX_ORDER + 1):
            counts.update(_ngrams(tokens, order))
    # The empty n-gram, parent of every word, occurs once per word.
    counts[()] = sum(len(tokens) for tokens in references)
    return {ngram: math.log2(counts[ngram[:-1]] / count) for ngram, count in counts.items() if ngram}


def _statistics(
    hypothesis: Sequence[str], references: Sequence[Sequence[str]], info: dict[_Ngram, float]
) -> list[float]:
    """Matched information per order, n-grams in the output per order, mean reference length."""
    gained, offered = [], []
    for order in range(1, MAX_ORDER + 1):
        most: Counter[_Ngram] = Counter()
        for tokens in references:
            most |= Counter(_ngrams(tokens, order))
        matched = Counter(_ngrams(hypothesis, order)) & most
        gained.append(sum(info[ngram] * count for ngram, count in matched.items()))
        offered.append(float(max(0, len(hypothesis) - order + 1)))
    return [*gained, *offered, sum(map(len, references)) / len(references)]


def _combine(sums: FloatArray) -> FloatArray:
    gained, offered = sums[:, :MAX_ORDER], sums[:, MAX_ORDER : 2 * MAX_ORDER]
    length_ratio = np.minimum(1.0, ratio(offered[:, 0], sums[:, -1]))
    with np.errstate(divide="ignore"):  # an empty output: log 0, penalty exp(-inf) = 0
        penalty = np.exp(_BETA * np.log(length_ratio) ** 2)
    return np.asarray(penalty * ratio(gained, offered).sum(axis=1), dtype=np.float64)


def _ngrams(tokens: Sequence[str], order: int) -> list[_Ngram]:
    return [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]
