"""Read a prepared data set: what training and evaluation use."""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset, disable_progress_bars

from training.data.config import DataError
from training.data.records import SPLITS


def read_rows(path: Path) -> Dataset:
    """The rows of a `.jsonl` file of a prepared data set, memory-mapped.

    Raises DataError where it is missing, empty or not JSON Lines.
    """
    if not path.is_file() or path.stat().st_size == 0:
        state = "is empty" if path.is_file() else "is not there"
        raise DataError(f"{path}: {state}; prepare the data with `python -m training data --config FILE`")
    disable_progress_bars()
    try:
        return Dataset.from_json(str(path))
    except (OSError, ValueError, RuntimeError) as exc:
        raise DataError(f"{path}: not a file of data rows: {' '.join(str(exc).split())[:200]}") from exc


def load_split(folder: Path, split: str) -> Dataset:
    """One split (`train`, `dev`, `test`) of the data set in `folder`. Raises DataError as `read_rows`."""
    if split not in SPLITS:
        raise DataError(f"no split {split!r}; there are: {', '.join(SPLITS)}")
    return read_rows(folder / f"{split}.jsonl")
