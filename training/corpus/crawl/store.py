"""Where pages go: JSON Lines for the `rows` reader, or WARC (ISO 28500) for any archive tool."""

from __future__ import annotations

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Protocol

from training.corpus.crawl.fetch import Answer
from training.corpus.readers.web import decode_page

# The body is stored as it was unpacked, so these no longer describe it.
_OF_THE_TRANSFER = {"content-encoding", "transfer-encoding", "content-length", "connection"}


class Store(Protocol):
    """An append-only file."""

    def append(self, answer: Answer, fetched_at: str) -> int:
        """Write a page for good; returns the size of the file."""
        ...


class _File:
    """A file that is cut to what the state knows of, so that a torn last page is forgotten."""

    def __init__(self, path: Path, stored: int) -> None:
        self.path = path
        path.touch()
        os.truncate(path, min(stored, path.stat().st_size))

    def write(self, content: bytes) -> int:
        """Append; the bytes are on the disk when this returns."""
        with self.path.open("ab") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            return stream.tell()


class JsonLines:
    """One object a page: url, status, fetched_at, content_type, and `html` or `text`."""

    def __init__(self, path: Path, stored: int) -> None:
        self._file = _File(path, stored)

    def append(self, answer: Answer, fetched_at: str) -> int:
        """Write a page for good; returns the size of the file."""
        text = decode_page(answer.body, answer.headers.get("content-type", ""))
        key = "text" if answer.content_type == "text/plain" else "html"
        row = {
            "url": answer.url, "status": answer.status, "fetched_at": fetched_at,
            "content_type": answer.content_type, key: text,
        }  # fmt: skip
        return self._file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


class Warc:
    """One gzipped `response` record a page."""

    def __init__(self, path: Path, stored: int) -> None:
        self._file = _File(path, stored)

    def append(self, answer: Answer, fetched_at: str) -> int:
        """Write a page for good; returns the size of the file."""
        from warcio.statusandheaders import StatusAndHeaders
        from warcio.warcwriter import WARCWriter

        headers = [(name, value) for name, value in answer.headers.items() if name not in _OF_THE_TRANSFER]
        content = BytesIO()
        writer = WARCWriter(content, gzip=True)
        record = writer.create_warc_record(
            answer.url, "response", payload=BytesIO(answer.body),
            http_headers=StatusAndHeaders(f"{answer.status} OK", headers, protocol="HTTP/1.1"),
            warc_headers_dict={"WARC-Date": fetched_at},
        )  # fmt: skip
        writer.write_record(record)
        return self._file.write(content.getvalue())
