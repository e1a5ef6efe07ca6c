"""Metrics against the libraries' public APIs, hand-computed cases and plain re-computations."""

from __future__ import annotations

import math
import random
from itertools import zip_longest

import numpy as np
import pytest
import sacrebleu

from evaluation.metrics import diversity, overlap
from evaluation.metrics.nist import nist

pytestmark = pytest.mark.unit

WORDS = [
    "The", "mill", "is", "a", "cheap", "pub", ",", "near", "the", "river", ".", "It", "serves", "food",
    "£20-25", "isn't", "bad", "!",
]  # fmt: skip


def corpus(n: int, seed: int) -> tuple[list[str], list[list[str]]]:
    rng = random.Random(seed)

    def sentence() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 14)))

    return [sentence() for _ in range(n)], [[sentence() for _ in range(rng.randint(1, 5))] for _ in range(n)]


def test_bleu_and_chrf_equal_sacrebleu() -> None:
    hypotheses, references = corpus(60, seed=1)
    streams = list(zip_longest(*references))
    measure, signature = overlap.bleu(hypotheses, references)
    expected = sacrebleu.corpus_bleu(hypotheses, streams, lowercase=True, tokenize="13a").score
    assert measure.value == pytest.approx(expected, abs=1e-9)
    assert "case:lc" in signature
    assert "tok:13a" in signature
    assert "nrefs:var" in signature
    chrf, _ = overlap.chrf(hypotheses, references)
    assert chrf.value == pytest.approx(sacrebleu.corpus_chrf(hypotheses, streams).score, abs=1e-9)


def test_bleu_of_a_resample_is_bleu_of_the_repeated_texts() -> None:
    hypotheses, references = corpus(30, seed=2)
    picks = [0, 0, 3, 7, 7, 7, 12, 29]
    measure, _ = overlap.bleu(hypotheses, references)
    by_rows = measure.combine(measure.rows[picks].sum(axis=0, keepdims=True))[0]
    again, _ = overlap.bleu([hypotheses[i] for i in picks], [references[i] for i in picks])
    assert by_rows == pytest.approx(again.value, abs=1e-9)


def test_sentence_bleu_by_hand() -> None:
    """Two words: all unigrams and the bigram match, longer orders count only where the text has them."""
    assert overlap.sentence_bleu("Cheap pub", ["a river", "the cheap pub"]) == pytest.approx(100)
    halves = overlap.sentence_bleu("a pub by a river", ["a pub by a mill"])
    assert halves == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_nist_by_hand() -> None:
    """References "a b" and "a c": 4 words; info(a) = log2(4/2) = 1, info(b) = 2, info(a b) = log2(2/1) = 1.

    Output "a b": (1 + 2) / 2 unigrams + 1 / 1 bigram = 2.5, and no length penalty.
    """
    assert nist(["a b"], [["a b", "a c"]]).value == pytest.approx(2.5)


def test_nist_length_penalty_is_half_at_two_thirds() -> None:
    full = nist(["a b c"], [["a b c"]]).rows
    short = nist(["a b"], [["a b c"]])
    gained = short.rows[0, :5].sum()
    assert full.shape == (1, 11)
    # Unigrams carry log2(3) each; the bigram "a b" follows surely from "a", so it carries nothing.
    assert gained == pytest.approx(2 * math.log2(3))
    assert short.value == pytest.approx(0.5 * math.log2(3))


def test_nist_equals_a_plain_computation() -> None:
    hypotheses, references = corpus(40, seed=3)
    assert nist(hypotheses, references).value == pytest.approx(plain_nist(hypotheses, references), abs=1e-9)


def plain_nist(hypotheses: list[str], references: list[list[str]]) -> float:
    """The definition with loops and lists; the same tokens, nothing else shared."""
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    split = Tokenizer13a()
    hyps = [split(h).lower().split() for h in hypotheses]
    refs = [[split(r).lower().split() for r in group] for group in references]
    everything = [r for group in refs for r in group]

    def occurrences(ngram: list[str], tokens: list[str]) -> int:
        return sum(tokens[i : i + len(ngram)] == ngram for i in range(len(tokens) - len(ngram) + 1))

    def info(ngram: list[str]) -> float:
        parent = (
            sum(occurrences(ngram[:-1], r) for r in everything) if ngram[:-1] else sum(map(len, everything))
        )
        return math.log2(parent / sum(occurrences(ngram, r) for r in everything))

    total = 0.0
    for n in range(1, 6):
        gained, offered = 0.0, 0
        for tokens, group in zip(hyps, refs, strict=True):
            ngrams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
            offered += len(ngrams)
            for ngram in [list(t) for t in {tuple(g) for g in ngrams}]:
                matched = min(ngrams.count(ngram), max(occurrences(ngram, r) for r in group))
                gained += matched * info(ngram) if matched else 0.0
        total += gained / offered if offered else 0.0
    ratio = sum(map(len, hyps)) / sum(sum(map(len, g)) / len(g) for g in refs)
    beta = -math.log(0.5) / math.log(1.5) ** 2
    return total * math.exp(-beta * math.log(min(1.0, ratio)) ** 2)


def test_an_empty_output_scores_zero_everywhere() -> None:
    for measure in (
        overlap.bleu([""], [["a cheap pub"]])[0],
        overlap.chrf([""], [["a cheap pub"]])[0],
        nist([""], [["a cheap pub"]]),
        *overlap.rouge_n([""], [["a cheap pub"]]),
        diversity.distinct([""], 1),
        diversity.length([""]),
    ):
        assert measure.value == 0.0, measure.key
        assert np.isfinite(measure.rows).all()


def test_rouge_takes_the_best_reference() -> None:
    one, two = overlap.rouge_n(["the cheap pub"], [["a river", "the cheap mill"]])
    assert one.value == pytest.approx(100 * 2 / 3)
    assert two.value == pytest.approx(50.0)


def test_distinct_and_length_by_hand() -> None:
    texts = ["the mill, the pub", "the mill"]
    # the mill , the pub | the mill: 7 tokens, 4 types; bigrams: 4 + 1, of which "the mill" twice.
    assert diversity.distinct(texts, 1).value == pytest.approx(100 * 4 / 7)
    assert diversity.distinct(texts, 2).value == pytest.approx(100 * 4 / 5)
    assert diversity.length(texts).value == pytest.approx(3.5)
