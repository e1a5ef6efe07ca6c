"""The phase that needs all rows: exact and near duplicates out, the rest into one memory-mapped table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from training.corpus.config import CorpusConfig
from training.corpus.funnel import Funnel
from training.corpus.rows import fall
from training.corpus.shards import read_batches
from training.data.duplicates import EXACT, KEEP, DuplicateFilter, signature_from
from training.data.table import hash64

COLUMNS = ("origin", "kind", "text", "source", "document", "url", "licence", "lang")
_KEPT = pa.schema([(name, pa.string()) for name in COLUMNS])
_BATCH_ROWS = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows that are left, and per row what mixing and splitting need (8 bytes each)."""

    path: Path
    """An Arrow stream file with COLUMNS."""
    origins: np.ndarray
    """(rows,) int16: index into the configured sources."""
    documents: np.ndarray
    """(rows,) int64: hash of source and document."""
    keys: np.ndarray
    """(rows,) int64: hash of the text."""
    chars: np.ndarray
    """(rows,) int64."""


def keep_new(parts: Iterable[Path], config: CorpusConfig, path: Path, funnel: Funnel) -> Kept:
    """Write to `path` the rows that repeat no earlier one, in order; count all of them in `funnel`."""
    seen = DuplicateFilter(config.duplicates)
    numbers = {source.name: number for number, source in enumerate(config.sources)}
    facts: list[tuple[int, int, int, int]] = []
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _KEPT) as writer:
        for batch in read_batches(parts, _BATCH_ROWS):
            kept = []
            for row in batch.to_pylist():
                if not row["fell_at"]:
                    signature = signature_from(row["signature"]) if row["signature"] else None
                    verdict = seen.check(row["text"], signature)
                    if verdict != KEEP:
                        fall(row, "duplicates", "exact duplicate" if verdict == EXACT else "near duplicate")
                funnel.add(row, json.loads(row["pii"] or "{}"))
                if not row["fell_at"]:
                    kept.append({name: row[name] for name in COLUMNS})
                    document = hash64(f"{row['origin']}\x1f{row['document']}")
                    facts.append((numbers[row["origin"]], document, hash64(row["text"]), len(row["text"])))
            if kept:
                writer.write_table(pa.Table.from_pylist(kept, schema=_KEPT))
    columns = np.array(facts, dtype=np.int64).reshape(-1, 4).T
    return Kept(path, columns[0].astype(np.int16), columns[1], columns[2], columns[3])
