"""Data: sources, row checks, duplicates, splits, statistics, cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.data.config import DataConfig, DataError
    from training.data.job import PreparedData, prepare

__all__ = ["DataConfig", "DataError", "PreparedData", "prepare"]


def __getattr__(name: str) -> object:
    """Load on first use: `datasets` takes two seconds to import, which `--help` need not wait for."""
    if name in ("prepare", "PreparedData"):
        from training.data import job as module
    elif name in __all__:
        from training.data import config as module
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(module, name)
