"""Web pages: folders of HTML files, and the JSON Lines that the crawler writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from training.corpus.config import SourceConfig
from training.corpus.readers.files import open_files
from training.corpus.rows import Document, Markup
from training.data.records import Place, Rejected
from training.data.sources.lines import decode_lines

_CHARSET = re.compile(rb"""charset\s*=\s*["']?([A-Za-z0-9._-]+)""", re.IGNORECASE)
_MAX_LINE_CHARS = 8_000_000
_MARKUPS: dict[str, Markup] = {"html": "html", "text": "text", "markdown": "markdown"}


def read_html(source: SourceConfig) -> Iterator[Document | Rejected]:
    """One document an .html file."""
    for name, stream in open_files(source.path, (".html", ".htm", ".xhtml", ".html.gz")):
        raw = stream.read()
        if not raw.strip():
            yield Rejected(Place(name, 1), "empty", "", "")
            continue
        base = source.base_url.rstrip("/")
        yield Document(decode_page(raw), "html", Place(name, 1), name, url=base and f"{base}/{name}")


def read_pages(source: SourceConfig) -> Iterator[Document | Rejected]:
    """JSON Lines with `text` (or `html`) and, where known, `url`, `licence`, `lang`, `markup`, `document`."""
    for name, stream in open_files(source.path, (".jsonl", ".jsonl.gz", ".ndjson")):
        for number, line in enumerate(decode_lines(stream, _MAX_LINE_CHARS), start=1):
            if line.strip():
                yield _page(line, Place(name, number))


def _page(line: str, place: Place) -> Document | Rejected:
    if len(line) > _MAX_LINE_CHARS:
        return Rejected(place, "endless line", f"more than {_MAX_LINE_CHARS:,} characters", line)
    try:
        row: Any = json.loads(line)
        html = row.get("html")
        text = html or row.get("text")
    except (ValueError, AttributeError) as exc:
        return Rejected(place, "broken JSON", str(exc), line)
    if not isinstance(text, str) or not text.strip():
        return Rejected(place, "empty", "no `text` or `html`", line)
    known = {key: row[key] for key in ("url", "licence", "lang") if isinstance(row.get(key), str)}
    markup: Markup = "html" if html else _MARKUPS.get(str(row.get("markup")), "text")
    document = str(row.get("document") or known.get("url") or f"{place.source}:{place.line}")
    return Document(text, markup, place, document, **known)


def decode_page(raw: bytes, content_type: str = "") -> str:
    """The text of a page: by the charset of its header or its own `meta`, else UTF-8, else Windows-1252.

    The last is what browsers do with bytes that are not UTF-8 (WHATWG, "Encoding").
    """
    found = _CHARSET.search(content_type.encode()) or _CHARSET.search(raw[:2_048])
    names = ([found[1].decode("ascii")] if found else []) + ["utf-8"]
    for name in names:
        try:
            return raw.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return raw.decode("cp1252", "replace")
