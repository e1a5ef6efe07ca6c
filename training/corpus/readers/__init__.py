"""Readers: one for each form in which text comes. `read_source` is what the job calls."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from itertools import islice

from training.corpus.config import CorpusError, SourceConfig
from training.corpus.readers.files import BROKEN
from training.corpus.rows import Document
from training.data.records import Rejected
from training.data.sources.open import find_licence

Reader = Callable[[SourceConfig], Iterator[Document | Rejected]]

READERS: dict[str, tuple[str, str, str]] = {
    "books": ("books", "read_books", "book"),
    "wikitext": ("wiki", "read_wikitext", "wiki"),
    "mediawiki": ("wiki", "read_mediawiki", "wiki"),
    "code": ("code", "read_code", "code"),
    "feeds": ("news", "read_feeds", "news"),
    "warc": ("news", "read_warc", "web"),
    "html": ("web", "read_html", "web"),
    "mastodon": ("social", "read_mastodon", "social"),
    "reddit": ("social", "read_reddit", "social"),
    "rows": ("web", "read_pages", "web"),
}
"""Name → module of this package, function, kind of the rows. Modules load on use: some are slow to import."""


def read_source(source: SourceConfig) -> Iterator[Document | Rejected]:
    """The documents of a source in a fixed order, and what could not be read.

    Raises CorpusError where the source is not there, is empty, or breaks off.
    """
    if not source.path.exists():
        raise CorpusError(f"source {source.name!r}: {source.path}: no such file or folder")
    module, function, _ = READERS[source.reader]
    reader: Reader = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    empty = True
    try:
        for item in islice(reader(source), source.limit):
            empty = False
            yield item
    except BROKEN as exc:
        raise CorpusError(
            f"source {source.name!r}: {source.path}: cannot be read to its end: {exc}; is it whole?"
        ) from exc
    if empty:
        raise CorpusError(
            f"source {source.name!r}: {source.path}: holds nothing that {source.reader!r} reads"
        )


def kind_of(source: SourceConfig) -> str:
    """The kind of the source's rows: book, wiki, code, news, social or web."""
    return READERS[source.reader][2]


def licence_of(source: SourceConfig) -> str:
    """The licence of a source: as set, else as its folder states it."""
    folder = source.path if source.path.is_dir() else source.path.parent
    return source.licence or find_licence(folder)
