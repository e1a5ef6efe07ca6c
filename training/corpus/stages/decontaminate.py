"""Decontamination: rows that share word n-grams with an evaluation set (Brown et al., 2020, appendix C)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from training.corpus.config import CorpusConfig, CorpusError
from training.corpus.readers.files import BROKEN, open_files
from training.corpus.rows import Row, fall
from training.data.attributes import normalise

_SUFFIXES = (".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".text")


class Decontaminate:
    """Drops a row of which more than `max_overlap` of the n-grams are in one of the evaluation sets."""

    def __init__(self, config: CorpusConfig) -> None:
        self._settings = config.decontaminate
        self._known = evaluation_ngrams(self._settings.against, self._settings.ngram)

    def __call__(self, row: Row) -> Iterator[Row]:
        """The row, whole or fallen."""
        if len(self._known):
            hashes = np.unique(ngram_hashes(row["text"], self._settings.ngram))
            shared = self._count_known(hashes)
            if shared > self._settings.max_overlap * len(hashes):
                yield fall(row, "decontaminate", "in an evaluation set", f"{shared} of {len(hashes)} n-grams")
                return
        yield row

    def _count_known(self, hashes: np.ndarray) -> int:
        places = np.minimum(np.searchsorted(self._known, hashes), len(self._known) - 1)
        return int((self._known[places] == hashes).sum())


def evaluation_ngrams(paths: Sequence[Path], size: int) -> np.ndarray:
    """(n,) uint64, sorted: hashes of all n-grams in the files; 8 bytes each. Raises CorpusError."""
    parts: list[np.ndarray] = [np.zeros(0, np.uint64)]
    for path in paths:
        if not path.exists():
            raise CorpusError(f"decontaminate.against: {path}: no such file or folder")
        try:
            for name, stream in open_files(path, (*_SUFFIXES, *(f"{suffix}.gz" for suffix in _SUFFIXES))):
                text = stream.read().decode("utf-8", "replace")
                parts += [ngram_hashes(piece, size) for piece in _texts(name, text)]
        except BROKEN as exc:
            raise CorpusError(f"decontaminate.against: {path}: cannot be read: {exc}") from exc
        if len(parts) == 1:
            raise CorpusError(f"decontaminate.against: {path}: no n-gram of {size} words in it")
    return np.unique(np.concatenate(parts))


def ngram_hashes(text: str, size: int) -> np.ndarray:
    """(n,) uint64: a hash of each n-gram of `size` words, letters and digits in lower case.

    A text that is shorter gives none: a few common words in a row prove nothing.
    """
    words = normalise(text).split()
    return np.fromiter(
        (
            xxhash.xxh3_64_intdigest(" ".join(words[start : start + size]).encode())
            for start in range(len(words) - size + 1)
        ),
        np.uint64,
    )


def _texts(name: str, text: str) -> Iterator[str]:
    """The texts in an evaluation file: cells of a table, strings of JSON, or the whole."""
    bare = name.lower().removesuffix(".gz")
    if bare.endswith((".csv", ".tsv")):
        for record in csv.reader(io.StringIO(text), delimiter="\t" if bare.endswith(".tsv") else ","):
            yield from record
    elif bare.endswith(".json"):
        yield from _strings(_load(name, text))
    elif bare.endswith((".jsonl", ".ndjson")):
        for line in text.splitlines():
            if line.strip():
                yield from _strings(_load(name, line))
    else:
        yield text


def _load(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise CorpusError(f"decontaminate.against: {name}: broken JSON: {exc}") from exc


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
