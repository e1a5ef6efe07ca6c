"""MinHash signatures: the costly half of near-duplicate removal, which needs no other row."""

from __future__ import annotations

from collections.abc import Iterator

from training.corpus.config import CorpusConfig
from training.corpus.rows import Row
from training.data.duplicates import signature_of


class Sign:
    """Adds the MinHash values of the text; the comparison follows in one process (`deduplicate.py`)."""

    def __init__(self, config: CorpusConfig) -> None:
        self._settings = config.duplicates

    def __call__(self, row: Row) -> Iterator[Row]:
        """The row with `signature`."""
        if self._settings.near:
            values = signature_of(row["text"], self._settings).hashvalues
            row["signature"] = values.astype("<u4").tobytes()
        yield row
