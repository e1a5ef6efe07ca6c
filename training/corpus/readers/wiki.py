"""Wikis: MediaWiki XML dumps (mwxml), and the tokenized text of WikiText (Merity et al., 2016)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote

from training.corpus.config import CorpusError, SourceConfig
from training.corpus.readers.books import NOT_A_BOOK
from training.corpus.readers.files import open_files
from training.corpus.rows import Document
from training.data.records import Place, Rejected, not_utf8
from training.data.sources.lines import decode_lines

_ARTICLES = 0
"""The namespace of articles; the others hold talk, users, templates, files."""
_MAX_LINE_CHARS = 200_000
_TITLE = re.compile(r"^ ?= ([^=].*?) = ?$")
_HEADING = re.compile(r"^ ?((?:= )+)(.*?)(?: =)+ ?$")
# WikiText splits numbers and hyphens with @ and puts spaces around punctuation.
_REPAIRS = (
    (re.compile(r" @([-,.])@ "), r"\1"),
    (re.compile(r" ([,.;:!?%)\]])"), r"\1"),
    (re.compile(r"([(\[$£]) "), r"\1"),
    (re.compile(r" (n't|'(?:s|re|ve|ll|d|m|S))\b"), r"\1"),
    (re.compile(r'" ([^"\n]*?) "'), r'"\1"'),
)


def read_mediawiki(source: SourceConfig) -> Iterator[Document | Rejected]:
    """The newest revision of each article of a dump (.xml, .xml.bz2, .xml.gz); redirects are left out.

    Raises CorpusError where the XML breaks off.
    """
    import mwxml

    for name, stream in open_files(source.path, (".xml", ".xml.bz2", ".xml.gz", ".xml.xz")):
        number, title = 0, "(its beginning)"
        try:
            for number, page in enumerate(mwxml.Dump.from_file(stream).pages, start=1):
                title = str(page.title)
                if page.namespace not in (None, _ARTICLES) or page.redirect:
                    continue
                text = next((r.text for r in reversed(list(page)) if r.text), "")
                place = Place(name, number)
                if not text:
                    yield Rejected(place, "empty", title, "")
                    continue
                url = source.base_url and source.base_url.rstrip("/") + "/" + quote(title.replace(" ", "_"))
                yield Document(text, "wikitext", place, f"{name}:{title}", url=url)
        except (mwxml.errors.MalformedXML, SyntaxError, ValueError) as exc:
            raise CorpusError(
                f"source {source.name!r}: {name}: broken XML behind page {number}, {title!r}: {exc}; "
                "the dump is damaged or cut off: get it again"
            ) from exc


def read_wikitext(source: SourceConfig) -> Iterator[Document | Rejected]:
    """Articles of WikiText files; a line ` = Title = ` begins one."""
    for name, stream in open_files(source.path, (".txt", ".tokens", ".raw", ".txt.gz")):
        if not (source.path.is_dir() and NOT_A_BOOK.match(name.rpartition("/")[2])):
            yield from _articles(name, stream)


def _articles(name: str, stream: IO[bytes]) -> Iterator[Document | Rejected]:
    start, title = 1, name
    lines: list[str] = []
    for number, line in enumerate(decode_lines(stream, _MAX_LINE_CHARS), start=1):
        if not_utf8(line):
            yield Rejected(Place(name, number), "not UTF-8", "", line)
            continue
        new = _TITLE.match(line)
        if new and any(lines):
            yield Document("\n".join(lines), "text", Place(name, start), f"{name}:{title}")
            lines = []
        if new:
            start, title = number, new[1]
        lines.append(untokenize(line))
    if any(lines):
        yield Document("\n".join(lines), "text", Place(name, start), f"{name}:{title}")


def untokenize(line: str) -> str:
    """A line of WikiText as people write: ` = Title = ` loses its signs, `5 @.@ 2` becomes `5.2`."""
    heading = _HEADING.match(line)
    text = heading[2] if heading else line.strip()
    for pattern, replacement in _REPAIRS:
        text = pattern.sub(replacement, text)
    return text
