"""The stages that look at one row at a time, so that any number of workers can run them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING

from training.corpus.config import CorpusConfig

if TYPE_CHECKING:
    import pyarrow as pa

    from training.corpus.rows import Row

Stage = Callable[["Row"], Iterable["Row"]]
"""One row in; itself, changed or fallen, or (extraction) its pieces out."""

ROW_STAGES: dict[str, tuple[str, str]] = {
    "extract": ("extract", "Extract"),
    "language": ("language", "Language"),
    "quality": ("quality", "Quality"),
    "pii": ("pii", "Pii"),
    "decontaminate": ("decontaminate", "Decontaminate"),
    "sign": ("sign", "Sign"),
}
"""Stage → module of this package and class, in the order of the work: what is cheap comes first."""


@cache
def load_stage(name: str, settings: str) -> Stage:
    """A stage made from the JSON of a CorpusConfig, once in each worker process."""
    module, cls = ROW_STAGES[name]
    stage: Stage = getattr(importlib.import_module(f"{__name__}.{module}"), cls)(
        CorpusConfig.model_validate_json(settings)
    )
    return stage


def run_stage(batch: pa.Table, name: str, settings: str) -> pa.Table:
    """Apply a stage to a batch of rows (SCHEMA); rows that fell before pass by. The order is kept."""
    from training.corpus.rows import to_table

    stage = load_stage(name, settings)
    return to_table(out for row in batch.to_pylist() for out in ([row] if row["fell_at"] else stage(row)))
