"""Data: sources, row checks, duplicates, splits, statistics, cards."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.data.config import DataConfig, DataError
    from training.data.job import PreparedData, prepare

__all__ = ["DataConfig", "DataError", "PreparedData", "prepare"]


def __getattr__(name: str) -> object:
    """Load on first use: `datasets` takes two seconds to import, which `--help` need not wait for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "training.data.job" if name in ("prepare", "PreparedData") else "training.data.config"
    return getattr(importlib.import_module(module), name)
