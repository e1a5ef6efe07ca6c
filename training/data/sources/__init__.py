"""Where rows come from: every source yields `Record` and `Rejected` in a fixed order."""

from training.data.sources.open import Source, open_source

__all__ = ["Source", "open_source"]
