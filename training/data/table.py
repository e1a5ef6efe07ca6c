"""The rows as a memory-mapped Arrow table (Hugging Face `datasets`): they need not fit into memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import xxhash
from datasets import Dataset, Features, Value, disable_progress_bars
from datasets.exceptions import DatasetGenerationError

from training.data.config import DataError
from training.data.records import SPLITS, TEXT, Record, Rejected
from training.data.sources import Source
from training.data.splits import UNDECLARED

COLUMNS = Features(
    {
        "task": Value("string"),
        "prompt": Value("string"),  # JSON of the messages before the answer; "[]" for plain text
        "answer": Value("string"),  # null: only the input is known
        "declared": Value("int8"),  # index into SPLITS, or UNDECLARED
        "group": Value("int64"),  # hash of the canonical input: rows of one group share a split
        "input": Value("int64"),  # hash of the exact prompt: rows of one input are references of each other
        "source": Value("string"),
        "line": Value("int64"),
    }
)
BATCH = 1_000


def build_table(
    source: Source, work: Path, quarantine: IO[str], on_row: Callable[[], object]
) -> tuple[Dataset | None, Counter[str]]:
    """Stream the source's rows into an Arrow file under `work`, and the bad ones into `quarantine`.

    Returns the table (None where no row is good) and the number of bad rows by reason. `on_row` is called
    once a row. Raises DataError where the source cannot be read to its end.
    """
    bad: Counter[str] = Counter()
    good = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal good
        for row in source.rows():
            on_row()
            if isinstance(row, Rejected):
                bad[row.reason] += 1
                quarantine.write(row.as_json() + "\n")
            else:
                good += 1
                yield _as_row(row)

    disable_progress_bars()
    try:
        table = Dataset.from_generator(rows, features=COLUMNS, cache_dir=str(work), fingerprint="rows")
    except DatasetGenerationError as exc:
        # datasets wraps whatever the generator raised; the cause is what the person can mend.
        if isinstance(exc.__cause__, (DataError, OSError)):
            raise exc.__cause__ from None
        raise
    except ValueError:
        if good:
            raise
        return None, bad
    return table, bad


def batches(table: Dataset, columns: list[str]) -> Iterator[Iterator[tuple[Any, ...]]]:
    """The rows of `columns`, a batch at a time."""
    for batch in table.select_columns(columns).iter(BATCH):
        yield zip(*(batch[column] for column in columns), strict=True)


def keys(table: Dataset, column: str) -> np.ndarray:
    """(rows,) A column of numbers of the whole table. Indexing the data set would read the texts along."""
    return np.asarray(table.data.column(column).to_numpy())


def hash64(text: str) -> int:
    """A signed 64-bit hash, the form in which Arrow keeps the keys (the seeds of Python's hash() change)."""
    return int.from_bytes(xxhash.xxh3_64_digest(text.encode()), "big", signed=True)


def _as_row(record: Record) -> dict[str, Any]:
    prompt = json.dumps(record.prompt, ensure_ascii=False)
    exact = record.answer or "" if record.task == TEXT else prompt
    return {
        "task": record.task,
        "prompt": prompt,
        "answer": record.answer,
        "declared": UNDECLARED if record.split is None else SPLITS.index(record.split),
        "group": hash64(record.group),
        "input": hash64(exact),
        "source": record.place.source,
        "line": record.place.line,
    }
