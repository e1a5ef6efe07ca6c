"""A Hugging Face data set by id (or a local copy of its repository), through `datasets.load_dataset`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from training.data.config import DataConfig, DataError
from training.data.records import BadRow, Place, Record, Rejected, split_of
from training.data.sources.chats import chat_record


def open_hub(config: DataConfig) -> tuple[Callable[[], Iterator[Record | Rejected]], str, str]:
    """The rows, licence and digest of a data set. Raises DataError where it cannot be loaded."""
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    identifier = config.source.removeprefix("hf:").strip()
    if not identifier:
        raise DataError("source 'hf:': name a data set, for example hf:owner/name")
    try:
        loaded = datasets.load_dataset(identifier, config.hub.name, revision=config.hub.revision)
    except (OSError, ValueError, RuntimeError, HfHubHTTPError, datasets.exceptions.DatasetsError) as exc:
        reason = " ".join(str(exc).split())[:300]
        raise DataError(
            f"source {config.source!r}: could not be loaded ({type(exc).__name__}: {reason}); "
            "check the id and the network, or give the path of a local copy"
        ) from exc

    def rows() -> Iterator[Record | Rejected]:
        for split, part in loaded.items():
            for number, row in enumerate(part, start=1):
                place = Place(f"{identifier}/{split}", number)
                try:
                    yield chat_record(_rename(row, config), split_of(split), place, config)
                except BadRow as bad:
                    yield Rejected(place, bad.reason, bad.detail, json.dumps(row, default=str))

    first = next(iter(loaded.values()))
    # Fingerprints of the Arrow tables: they follow the files that were loaded, so a moved branch is seen.
    digest = " ".join(f"{split}:{part._fingerprint}" for split, part in loaded.items())
    return rows, first.info.license or "unknown: set `licence`", digest


def _rename(row: dict[str, Any], config: DataConfig) -> dict[str, Any]:
    """Give the configured columns the names that `chat_record` knows."""
    if config.hub.input_column is None and config.hub.target_column is None:
        return row
    wanted = {"prompt": config.hub.input_column, "completion": config.hub.target_column}
    for column in wanted.values():
        if column is None or column not in row:
            raise BadRow("wrong columns", f"no column {column!r}; there are: {', '.join(row)}")
    return {known: row[column] for known, column in wanted.items() if column is not None}
