"""How much a text repeats itself (Rae et al., 2021, table A1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def repeated_lines(lines: Sequence[str]) -> tuple[float, float]:
    """(share of lines, share of characters) that repeat an earlier line."""
    seen: set[str] = set()
    count = chars = 0
    for line in lines:
        if line in seen:
            count += 1
            chars += len(line)
        seen.add(line)
    return count / max(1, len(lines)), chars / max(1, sum(map(len, lines)))


def top_ngram_chars(words: Sequence[str], size: int) -> float:
    """Share of the letters that lie in occurrences of the most frequent n-gram of `size` words.

    An n-gram that occurs once repeats nothing and counts 0; a short text would fall by it otherwise.
    """
    counts = Counter(_ngrams(words, size))
    if not counts:
        return 0.0
    ngram, times = counts.most_common(1)[0]
    return 0.0 if times == 1 else times * sum(map(len, ngram)) / max(1, sum(map(len, words)))


def repeated_ngram_chars(words: Sequence[str], size: int) -> float:
    """Share of the letters that lie in an n-gram of `size` words seen before; overlaps count once."""
    ngrams = _ngrams(words, size)
    if len(set(ngrams)) == len(ngrams):
        return 0.0
    seen: set[tuple[str, ...]] = set()
    covered = bytearray(len(words))
    for start, ngram in enumerate(ngrams):
        if ngram in seen:
            covered[start : start + size] = b"\1" * size
        seen.add(ngram)
    chars = sum(len(word) for word, inside in zip(words, covered, strict=True) if inside)
    return chars / max(1, sum(map(len, words)))


def _ngrams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(size)), strict=False))
