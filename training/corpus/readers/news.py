"""News: RSS and Atom feeds (feedparser), and web archives in the WARC format (warcio)."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

from training.corpus.config import SourceConfig
from training.corpus.readers.files import open_files
from training.corpus.readers.web import decode_page
from training.corpus.rows import Document
from training.data.records import Place, Rejected

_MAX_PAGE_BYTES = 5_000_000


def read_feeds(source: SourceConfig) -> Iterator[Document | Rejected]:
    """The entries of feed files (.xml, .rss, .atom): title and full content, else the summary."""
    import feedparser

    for name, stream in open_files(source.path, (".xml", ".rss", ".atom", ".rdf")):
        feed: Any = feedparser.parse(stream.read())
        if feed.bozo and not feed.entries:
            yield Rejected(Place(name, 1), "unreadable file", f"no feed: {feed.get('bozo_exception')}", "")
            continue
        rights, language = str(feed.feed.get("rights", "")), str(feed.feed.get("language", ""))
        for number, entry in enumerate(feed.entries, start=1):
            place = Place(name, number)
            bodies = [part.get("value", "") for part in entry.get("content", [])]
            body = "\n".join(bodies) or str(entry.get("summary", ""))
            if not body.strip():
                yield Rejected(place, "empty", str(entry.get("title", "")), "")
                continue
            title = html.escape(str(entry.get("title", "")))
            url = str(entry.get("link", ""))
            yield Document(
                f"<div><p>{title}</p>{body}</div>", "fragment", place, url or f"{name}:{number}", url=url,
                licence=str(entry.get("rights", "")) or rights, lang=language[:2].lower(),
            )  # fmt: skip


def read_warc(source: SourceConfig) -> Iterator[Document | Rejected]:
    """The HTML and text pages of WARC files (.warc, .warc.gz); other answers than 200 are left out."""
    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    for name, stream in open_files(source.path, (".warc", ".warc.gz")):
        number = 0
        try:
            # warcio unpacks record by record itself, and reads on behind a stream that is unpacked already.
            for number, record in enumerate(ArchiveIterator(stream), start=1):
                if record.rec_type == "response" and record.http_headers is not None:
                    yield from _page(record, Place(name, number))
        except ArchiveLoadFailed as exc:
            yield Rejected(Place(name, number + 1), "broken WARC record", str(exc), "")


def _page(record: Any, place: Place) -> Iterator[Document | Rejected]:
    url = record.rec_headers.get_header("WARC-Target-URI") or ""
    kind = (record.http_headers.get_header("Content-Type") or "").lower()
    if record.http_headers.get_statuscode() != "200" or not kind.startswith(
        ("text/html", "application/xhtml", "text/plain")
    ):
        return
    raw = record.content_stream().read(_MAX_PAGE_BYTES + 1)
    if len(raw) > _MAX_PAGE_BYTES:
        yield Rejected(place, "huge", url, "")
        return
    markup: Any = "text" if kind.startswith("text/plain") else "html"
    yield Document(decode_page(raw, kind), markup, place, url, url=url)
