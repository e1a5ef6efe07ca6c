"""The rows on disk between the phases of a job, in Parquet files of bounded size; what is done stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from common.files import atomic_folder, atomic_path
from training.corpus.config import SourceConfig
from training.corpus.readers import kind_of, licence_of, read_source
from training.corpus.rows import SCHEMA, Row, raw_row, to_table

SHARD_CHARS = 4_000_000
"""Text of a raw shard: what a worker holds at a time."""


def read_into(folder: Path, source: SourceConfig, on_row: Callable[[], object]) -> list[Path]:
    """Read a source into `folder` (whole or not at all); a folder that is there already is kept.

    Returns the shards in order. Raises CorpusError where the source cannot be read to its end.
    """
    if not folder.is_dir():
        with atomic_folder(folder) as target:
            for number, rows in enumerate(_portions(source, on_row)):
                pq.write_table(to_table(rows), target / f"{source.name}-{number:05d}.parquet")
    return sorted(folder.glob("*.parquet"))


def _portions(source: SourceConfig, on_row: Callable[[], object]) -> Iterator[list[Row]]:
    kind, licence = kind_of(source), licence_of(source)
    rows: list[Row] = []
    chars = number = 0
    for item in read_source(source):
        on_row()
        row = raw_row(item, source, kind, licence, f"{source.name}-{number:05d}")
        rows.append(row)
        chars += len(row["text"])
        if chars >= SHARD_CHARS:
            yield rows
            rows, chars, number = [], 0, number + 1
    if rows:
        yield rows


class PartWriter:
    """Writes filtered rows to one file a shard. The rows of a shard must follow each other.

    Used as a context manager: on an error the file in work is dropped, else it is finished.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shard = ""
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def write(self, batch: pa.Table) -> None:
        """Append rows, each to the file of its shard. Raises FileError."""
        for shard, rows in _by_shard(batch):
            if self._writer is None or shard != self._shard:
                self._open.close()
                self._shard = shard
                temporary = self._open.enter_context(atomic_path(part_path(self._folder, shard)))
                self._writer = self._open.enter_context(pq.ParquetWriter(temporary, SCHEMA))
            self._writer.write_table(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, exc, trace)


def part_path(folder: Path, shard: str) -> Path:
    """Where the filtered rows of a shard are."""
    return folder / f"{shard}.parquet"


def read_batches(paths: Iterable[Path], rows: int) -> Iterator[pa.Table]:
    """The rows of Parquet files in batches of at most `rows`."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=rows):
                yield pa.Table.from_batches([batch], SCHEMA)


def _by_shard(batch: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    shards = batch.column("shard").to_pylist()
    start = 0
    for end in range(1, len(shards) + 1):
        if end == len(shards) or shards[end] != shards[start]:
            yield shards[start], batch.slice(start, end - start)
            start = end
