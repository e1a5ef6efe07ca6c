"""Lines and CSV records of files that may be damaged: no bad byte or lost quote ends the reading."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from training.data.config import DataError

MAX_RECORD_LINES = 50


@dataclass(frozen=True, slots=True)
class CsvRecord:
    """The fields of a record, the 1-based line it starts on, its raw text, and what is wrong with it."""

    fields: list[str]
    line: int
    raw: str
    problem: str | None = None


def read_lines(path: Path, max_line_chars: int) -> Iterator[str]:
    """The lines of a text file (`.gz` too) without line ends; bytes that are not UTF-8 become lone
    surrogates.

    A longer line is cut after `max_line_chars` + 1 characters, so that one line cannot fill the memory.
    Raises DataError where the file cannot be read.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as stream:
            yield from decode_lines(stream, max_line_chars)
    except (OSError, EOFError, zlib.error) as exc:
        raise DataError(f"{path}: cannot be read: {exc}") from exc


def decode_lines(stream: IO[bytes] | BufferedIOBase, max_line_chars: int) -> Iterator[str]:
    """The lines of an opened file, as `read_lines`; what the stream raises comes through."""
    limit = 4 * max_line_chars + 4
    first = True
    while raw := stream.readline(limit):
        whole = raw.endswith(b"\n")
        while not whole and len(raw) >= limit:
            rest = stream.readline(1 << 20)
            whole = not rest or rest.endswith(b"\n")
        text = raw.decode("utf-8", errors="surrogateescape").rstrip("\r\n")
        yield (text.removeprefix("\ufeff") if first else text)[: max_line_chars + 1]
        first = False


def read_csv(path: Path, max_record_chars: int) -> Iterator[CsvRecord]:
    """The records of a CSV file (RFC 4180), the header among them.

    A quote that is never closed would swallow the rest of the file. A record is whole when its number of
    quotes is even; one that is still open after MAX_RECORD_LINES lines is given up as a bad line, and
    reading goes on with the next line.
    """
    lines = enumerate(read_lines(path, max_record_chars), start=1)
    waiting: list[tuple[int, str]] = []
    while True:
        if not waiting:
            numbered = next(lines, None)
            if numbered is None:
                return
            waiting.append(numbered)
        size = _record_size(waiting, lines)
        if size is None:
            number, text = waiting.pop(0)
            yield CsvRecord([], number, text, "unclosed quote")
            continue
        part, waiting = waiting[:size], waiting[size:]
        text = "\n".join(line for _, line in part)
        if text.strip():
            yield _parse(part[0][0], text)


def _record_size(waiting: list[tuple[int, str]], lines: Iterator[tuple[int, str]]) -> int | None:
    """How many waiting lines make a record (more are read if needed); None where its quote stays open."""
    quotes = 0
    for index in range(MAX_RECORD_LINES):
        if index == len(waiting):
            numbered = next(lines, None)
            if numbered is None:
                return None
            waiting.append(numbered)
        quotes += waiting[index][1].count('"')
        if quotes % 2 == 0:
            return index + 1
    return None


def _parse(line: int, text: str) -> CsvRecord:
    try:
        return CsvRecord(next(csv.reader([text], strict=True)), line, text)
    except csv.Error as exc:
        return CsvRecord([], line, text, f"broken CSV ({exc})")
