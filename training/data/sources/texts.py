"""Plain text for pretraining, cut at paragraph ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from training.data.attributes import normalise
from training.data.config import DataConfig
from training.data.records import (
    TEXT,
    BadRow,
    Place,
    Record,
    Rejected,
    Split,
    clean_text,
    not_utf8,
    require_text,
)
from training.data.sources.lines import read_lines


def read_text(path: Path, split: Split | None, config: DataConfig) -> Iterator[Record | Rejected]:
    """Documents of about `text_chunk_chars` characters: whole paragraphs in order, cut only where longer."""
    lines = read_lines(path, config.max_row_chars)
    for line, chunk in chunk_lines(lines, config.text_chunk_chars, config.max_row_chars):
        place = Place(path.name, line)
        try:
            require_text(chunk, "text")
            if len(chunk) > config.max_row_chars:
                raise BadRow("oversized", f"a line of more than {config.max_row_chars} characters")
        except BadRow as bad:
            yield Rejected(place, bad.reason, bad.detail, chunk)
            continue
        text = clean_text(chunk)
        yield Record(TEXT, (), text, split, normalise(text), place)


def chunk_lines(source: Iterable[str], chunk_chars: int, max_line_chars: int) -> Iterator[tuple[int, str]]:
    """(first line, text) of each chunk; it ends at a blank line once it is long, at any line if too long."""
    lines: list[str] = []
    start, size = 1, 0
    for number, line in enumerate(source, start=1):
        damaged = len(line) > max_line_chars or not_utf8(line)
        full = size + len(line) > chunk_chars or (not line.strip() and size > chunk_chars // 2)
        # A damaged line goes alone, so that it does not take its neighbours into quarantine.
        if lines and (damaged or full):
            yield start, "\n".join(lines)
            lines, size = [], 0
        if damaged:
            yield number, line
            continue
        if not lines:
            if not line.strip():
                continue
            start = number
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield start, "\n".join(lines)
