"""BLEU and chrF by sacrebleu, ROUGE-1/2 by rouge-score.

BLEU: Papineni et al. (2002), with the signature of Post (2018), A Call for Clarity in Reporting BLEU Scores.
Sentence BLEU: orders beyond the text's length are left out ("effective order"), see Chen and Cherry (2014).
chrF: Popović (2015), chrF: character n-gram F-score for automatic MT evaluation.
ROUGE: Lin (2004), ROUGE: A Package for Automatic Evaluation of Summaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from evaluation.bootstrap import FloatArray, Measure, mean_of

Groups = Sequence[Sequence[str]]
"""References: for each input, its one or more reference texts."""
_SENTENCE_BLEU = BLEU(lowercase=True, tokenize="13a", effective_order=True)


def reference_streams(references: Groups) -> list[list[str | None]]:
    """Groups transposed as sacrebleu wants them, missing references as None."""
    return [list(stream) for stream in zip_longest(*references)]


def bleu(hypotheses: Sequence[str], references: Groups) -> tuple[Measure, str]:
    """Corpus BLEU-4 in points, lower-cased, 13a tokens, closest reference length; and its signature."""
    metric = _bleu_of(_frozen(references))
    measure = _sacrebleu_measure(
        metric, hypotheses, "bleu", "BLEU", "sacrebleu, 13a tokens, lower-cased, all references"
    )
    return measure, str(metric.get_signature())


def sentence_bleu(hypothesis: str, references: Sequence[str]) -> float:
    """BLEU of one text in points, 0 to 100, against all its references (at least one): lower-cased, 13a
    tokens, effective order."""
    score: float = _SENTENCE_BLEU.sentence_score(hypothesis, references).score
    return score


def chrf(hypotheses: Sequence[str], references: Groups) -> tuple[Measure, str]:
    """Corpus chrF2 in points (character 6-grams, case kept, best reference), and sacrebleu's signature."""
    metric = _chrf_of(_frozen(references))
    measure = _sacrebleu_measure(
        metric, hypotheses, "chrf", "chrF", "sacrebleu chrF2, character 6-grams, best reference"
    )
    return measure, str(metric.get_signature())


def _frozen(references: Groups) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(group) for group in references)


# References take most of the time, and many systems are scored against the same ones, one after the other.
@lru_cache(maxsize=1)
def _bleu_of(references: tuple[tuple[str, ...], ...]) -> BLEU:
    return BLEU(lowercase=True, tokenize="13a", references=reference_streams(references))


@lru_cache(maxsize=1)
def _chrf_of(references: tuple[tuple[str, ...], ...]) -> CHRF:
    return CHRF(references=reference_streams(references))


def _sacrebleu_measure(
    metric: BLEU | CHRF, hypotheses: Sequence[str], key: str, label: str, description: str
) -> Measure:
    """`metric` holds the references."""
    # sacrebleu keeps these two steps of its own bootstrap private; the version is pinned and a test
    # holds the result equal to corpus_score.
    rows = metric._extract_corpus_statistics(hypotheses, None)

    def combine(sums: FloatArray) -> FloatArray:
        return np.array(
            [metric._compute_score_from_stats(np.rint(s).astype(int).tolist()).score for s in sums]
        )

    return Measure(key, label, "points", description, np.array(rows, dtype=np.float64), combine)


def rouge_n(hypotheses: Sequence[str], references: Groups) -> list[Measure]:
    """ROUGE-1 and ROUGE-2 F1 in points: best reference per input, mean over inputs, no stemming."""
    scorer = RougeScorer(["rouge1", "rouge2"], use_stemmer=False)
    scores = [scorer.score_multi(list(r), h) for h, r in zip(hypotheses, references, strict=True)]
    return [
        Measure(
            f"rouge{n}", f"ROUGE-{n}", "points",
            "rouge-score F1, no stemming, best reference, mean over inputs",
            np.array([[100 * score[f"rouge{n}"].fmeasure, 1.0] for score in scores]), mean_of,
        )
        for n in (1, 2)
    ]  # fmt: skip
