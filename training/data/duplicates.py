"""Exact and near duplicates, with datasketch's MinHash and locality-sensitive hashing (Broder, 1997).

What is compared. Pairs are compared only with pairs of the same input: the same sentence may rightly answer
two inputs, and several wordings of one input are wanted. Plain texts are compared with all plain texts.

Why a threshold of 0.9 on 5-character shingles of the letters and digits. Two references that differ only in
case, punctuation or spacing have the similarity 1.0; one changed short word in a sentence of 100 characters
leaves about 0.87, a reordered or reworded sentence far less. So 0.9 removes repetitions with a typo or a
comma changed and keeps paraphrases, which are what a multi-reference corpus is made for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby

import numpy as np
import xxhash
from datasketch import MinHash, MinHashLSH

from training.data.attributes import normalise
from training.data.config import DuplicateConfig

KEEP, EXACT, NEAR = 0, 1, 2

# 16 bands of 128/16 = 8 values find a pair of similarity 0.9 with probability 1 - (1 - 0.9^8)^16 = 0.9999;
# what they find in vain is sorted out by the comparison of the whole signatures.
_BANDS = 16


class DuplicateFilter:
    """Remembers the texts it was shown and tells whether the next one is new."""

    def __init__(self, config: DuplicateConfig) -> None:
        self._config = config
        self._exact: set[int] = set()
        self._index: MinHashLSH | None = None
        self._signatures: list[MinHash] = []
        self._first: str | None = None

    def check(self, text: str, signature: MinHash | None = None) -> int:
        """KEEP and remember `text`, or EXACT or NEAR when it repeats an earlier one.

        `signature`: that of `signature_of`, where another process has computed it.
        """
        if self._config.exact:
            digest = xxhash.xxh3_64_intdigest(text.encode())
            if digest in self._exact:
                return EXACT
            self._exact.add(digest)
        if self._config.near:
            if self._first is None and signature is None:
                # Most inputs of many corpora have one answer: nothing is hashed until there is a second one.
                self._first = text
                return KEEP
            if self._index is None:
                self._index = MinHashLSH(
                    num_perm=self._config.permutations, params=(_BANDS, self._config.permutations // _BANDS)
                )
                if self._first is not None:
                    self._remember(signature_of(self._first, self._config))
            signature = signature or signature_of(text, self._config)
            if any(
                signature.jaccard(self._signatures[key]) >= self._config.threshold
                for key in self._index.query(signature)
            ):
                return NEAR
            self._remember(signature)
        return KEEP

    def _remember(self, signature: MinHash) -> None:
        assert self._index is not None
        self._index.insert(len(self._signatures), signature, check_duplication=False)
        self._signatures.append(signature)


def signature_of(text: str, config: DuplicateConfig) -> MinHash:
    """The MinHash signature of a text, the costly part of a comparison."""
    signature = _empty_signature(config.permutations).copy()
    signature.update_batch(_shingles(text, config.shingle_chars))
    return signature


def signature_from(values: bytes) -> MinHash:
    """The signature with these hash values (uint32, little-endian), as `signature_of` gave them."""
    numbers = np.frombuffer(values, dtype="<u4").astype(np.uint32)
    signature = _empty_signature(len(numbers)).copy()
    signature.hashvalues = numbers
    return signature


def mark_duplicates(rows: Iterable[tuple[int, str]], config: DuplicateConfig) -> Iterator[int]:
    """One of KEEP, EXACT, NEAR for each (group, text); the rows of a group must follow each other."""
    for _, group in groupby(rows, key=lambda row: row[0]):
        seen = DuplicateFilter(config)
        for _, text in group:
            yield seen.check(text)


def _shingles(text: str, length: int) -> list[bytes]:
    plain = normalise(text)
    return [
        s.encode() for s in sorted({plain[i : i + length] for i in range(max(1, len(plain) - length + 1))})
    ]


@cache
def _empty_signature(permutations: int) -> MinHash:
    """A signature to copy: drawing its permutations costs more than filling it."""
    return MinHash(num_perm=permutations, hashfunc=xxhash.xxh32_intdigest)
