"""How varied a text is: distinct n-grams, vocabulary growth, compression; and the lengths of its rows."""

from __future__ import annotations

import re
import zlib
from array import array
from typing import Any

from training.data.stats import percentiles

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
SAMPLE_WORDS = 200_000
"""distinct-n falls with the length of a text: sources are compared on samples of one size."""
SAMPLE_BYTES = 4_000_000
DISTINCT = (1, 2, 3)
_GROWTH_POINTS = 4
"""Points of the vocabulary curve for each doubling of the words."""


class Diversity:
    """Figures of one source or split; add rows in random order, so that the first words are a fair sample.

    Memory grows with the vocabulary (Heaps' law), not with the text.
    """

    def __init__(self) -> None:
        self._words = 0
        self._vocabulary: set[str] = set()
        self._ngrams: dict[int, set[tuple[str, ...]]] = {size: set() for size in DISTINCT}
        self._ngram_counts = dict.fromkeys(DISTINCT, 0)
        self._growth: list[tuple[int, int]] = []
        self._next_point = 1_000.0
        self._row_words = array("i")
        self._letters = 0
        self._chars = 0
        self._compressor = zlib.compressobj(6)
        self._bytes = self._compressed = 0

    def add(self, text: str) -> None:
        """Count one row."""
        words = _WORD.findall(text.lower())
        self._row_words.append(len(words))
        self._chars += len(text)
        self._letters += sum(map(len, words))
        if self._words < SAMPLE_WORDS:
            for size in DISTINCT:
                ngrams = list(zip(*(words[start:] for start in range(size)), strict=False))
                self._ngrams[size].update(ngrams)
                self._ngram_counts[size] += len(ngrams)
        self._words += len(words)
        self._vocabulary.update(words)
        if self._words >= self._next_point:
            self._growth.append((self._words, len(self._vocabulary)))
            self._next_point = self._words * 2 ** (1 / _GROWTH_POINTS)
        if self._bytes < SAMPLE_BYTES:
            raw = text.encode() + b"\n"
            self._bytes += len(raw)
            self._compressed += len(self._compressor.compress(raw))

    def summary(self) -> dict[str, Any]:
        """The figures as JSON. `compression_ratio`: bytes of text per byte of zlib level 6."""
        compressed = self._compressed + len(self._compressor.copy().flush())
        return {
            "rows": len(self._row_words),
            "chars": self._chars,
            "words": self._words,
            "words_per_row": percentiles(self._row_words),
            "mean_word_letters": round(self._letters / max(1, self._words), 2),
            "vocabulary": len(self._vocabulary),
            "vocabulary_growth": [*self._growth, (self._words, len(self._vocabulary))],
            "distinct": {
                str(size): {
                    "n": self._ngram_counts[size],
                    "share": round(len(self._ngrams[size]) / max(1, self._ngram_counts[size]), 4),
                }
                for size in DISTINCT
            },
            "compression_ratio": round(self._bytes / max(1, compressed), 3),
            "compression_bytes": self._bytes,
        }
