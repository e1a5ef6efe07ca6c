"""Books and plain text: .txt, .md and .epub, in a folder, alone, or in a tar archive."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import IO, Any

from training.corpus.config import SourceConfig
from training.corpus.readers.files import open_files
from training.corpus.rows import Document, Markup
from training.data.records import Place, Rejected, not_utf8
from training.data.sources.lines import decode_lines
from training.data.sources.texts import chunk_lines

SEGMENT_CHARS = 200_000
"""Long books come in segments, so that a text of any size can be read."""
_TEXT = (".txt", ".text", ".md", ".markdown", ".txt.gz", ".md.gz", ".txt.xz", ".md.xz")
# What lies beside books without being one.
NOT_A_BOOK = re.compile(r"^(readme|licen[cs]e|copying|source|index|contributing)\b", re.IGNORECASE)


def read_books(source: SourceConfig) -> Iterator[Document | Rejected]:
    """Segments of each book. A line that is not UTF-8 or endless is rejected; its neighbours stay."""
    for name, stream in open_files(source.path, (*_TEXT, ".epub")):
        if NOT_A_BOOK.match(name.rpartition("/")[2]) and source.path.is_dir():
            continue
        if name.lower().endswith(".epub"):
            yield from _read_epub(name, stream)
        else:
            yield from read_text(name, stream)


def read_text(name: str, stream: IO[bytes]) -> Iterator[Document | Rejected]:
    """Segments of about SEGMENT_CHARS characters, ending at a line."""
    markup: Markup = "markdown" if ".md" in name.lower() or ".markdown" in name.lower() else "text"
    lines = decode_lines(stream, SEGMENT_CHARS)
    for line, segment in chunk_lines(lines, SEGMENT_CHARS, max_line_chars=SEGMENT_CHARS):
        place = Place(name, line)
        if not_utf8(segment):
            yield Rejected(place, "not UTF-8", "", segment)
        elif len(segment) > SEGMENT_CHARS:
            yield Rejected(place, "endless line", f"more than {SEGMENT_CHARS:,} characters", segment)
        else:
            yield Document(segment, markup, place, name)


def _read_epub(name: str, stream: IO[bytes]) -> Iterator[Document | Rejected]:
    """The chapters of an EPUB in reading order, with the rights that it states."""
    from ebooklib import ITEM_DOCUMENT, epub

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ebooklib announces changes of its defaults
            book: Any = epub.read_epub(stream, {"ignore_ncx": True})
        rights = "; ".join(str(value) for value, _ in book.get_metadata("DC", "rights"))
        order = [identifier for identifier, _ in book.spine]
        chapters = {item.get_id(): item for item in book.get_items_of_type(ITEM_DOCUMENT)}
        pages = [chapters[key] for key in order if key in chapters]
        texts = [(page.get_name(), page.get_content().decode("utf-8", "replace")) for page in pages]
    except Exception as exc:  # noqa: BLE001 - ebooklib lets zip, XML and key errors through as they come
        yield Rejected(Place(name, 1), "unreadable file", f"EPUB: {exc}", "")
        return
    for number, (page, text) in enumerate(texts, start=1):
        if "nav" not in page:
            yield Document(text, "fragment", Place(name, number), name, licence=rights)
