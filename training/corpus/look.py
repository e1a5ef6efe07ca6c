"""A look at a source: the first documents as the extraction stage gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from training.corpus.config import CorpusConfig
from training.corpus.readers import kind_of, licence_of, read_source
from training.corpus.rows import raw_row
from training.corpus.stages.extract import Extract


def look(path: Path, reader: str, limit: int, chars: int) -> Iterator[str]:
    """Lines to print: place, licence, language and beginning of each document, then the counts.

    Raises ConfigError for an unknown reader, CorpusError for an unreadable source.
    """
    source = {"name": "source", "reader": reader, "path": path}
    config = CorpusConfig.from_dict({"name": "look", "sources": [source]}, "--reader")
    (settings,) = config.sources
    extract = Extract(config)
    counts: Counter[str] = Counter()
    for item in islice(read_source(settings), limit):
        row = raw_row(item, settings, kind_of(settings), licence_of(settings), "look")
        for piece in [row] if row["fell_at"] else islice(extract(row), 1):
            counts[piece["reason"] or "read"] += 1
            state = f"dropped: {piece['reason']} {piece['detail']}" if piece["fell_at"] else piece["licence"]
            yield f"── {piece['source']}  {piece['url']}  {piece['lang']}  [{state}]"
            yield piece["text"][:chars].rstrip()
    yield "── " + ", ".join(f"{name} {count}" for name, count in counts.items())
